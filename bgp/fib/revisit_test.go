package fib

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestRunComesBackToWhatAPassFoundOutInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := newScene(t, f, ModeObjects)
		s.resolving(ResolveRoutes)
		s.add(t, staticTo(behind, n2))
		s.ensure(to(pods, far4))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.kernel.watch(ctx, s.queue.push) }()
		synctest.Wait()
		s.step(ctx)
		group := s.id(groupText([]uint32{s.id("via " + n2)}))
		f.change(func() { f.refuseID = group })
		s.replace(t, staticTo(behind, n3))
		<-s.queue.ready
		s.step(ctx) // all that is known now, and no event is left that would have Run look again
		<-s.queue.ready
		s.step(ctx)
		require.Equal(t, Failed, s.status(pods))
	})
}
