package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// news is what a neighbour begins to announce while the API is in disorder: the kernel has to have it at once, the Node
// has to say it afterwards.
const news = "10.20.95.0/24"

// disorder is one way in which the Kubernetes API does not work.
type disorder struct {
	name     string
	required string
	says     []string
	prepare  func(context.Context, *scene) error // kubernetes by default
	proxied  bool                                // there is a proxy in between, which answers
	// begin brings it about, end is what an administrator does about it; between them is the time it lasts. The news
	// are announced before it with early, otherwise within it.
	begin, end func(context.Context, *scene) error
	early      bool
	lasts      time.Duration // 0: as long as -outage says
}

// chaosRows are ways in which the Kubernetes API fails while the mesh changes: no packet may be lost, what changes is
// routed at once, and the Node says the truth again soon after, in few writes.
func chaosRows() []row {
	named := []string{"kubernetes: "}
	disorders := []disorder{
		{
			name: "the API is away for five minutes, or as long as -outage says", required: "named; one write afterwards", says: named,
			begin: func(_ context.Context, s *scene) error { s.api.Stop(); return nil }, end: resume,
		},
		{
			name: "every write is a conflict (409) for 20 s", required: "one write afterwards", says: named,
			proxied: true, lasts: 20 * time.Second,
			begin: func(_ context.Context, s *scene) error {
				s.proxy.reply(reply{code: http.StatusConflict, method: http.MethodPatch})
				return nil
			}, end: passOn,
		},
		{
			name: "every request is too many (429), with Retry-After, for 25 s", required: "asked no more often than it may be; one write afterwards", says: named,
			proxied: true, lasts: 25 * time.Second,
			begin: func(_ context.Context, s *scene) error {
				s.proxy.reply(reply{code: http.StatusTooManyRequests, after: 10})
				return nil
			}, end: passOn,
		},
		{
			name: "watches expire: the API forgets all versions while it is away for 10 s", required: "read anew; one write", says: named,
			lasts: 10 * time.Second,
			begin: func(ctx context.Context, s *scene) error { s.api.Stop(); return s.api.Compact(ctx) }, end: resume,
		},
		{
			name: "the token is rotated, and the old one is none any more", required: "the new one is read from its file", prepare: tokenFile,
			lasts: time.Second, begin: rotate, end: func(context.Context, *scene) error { return nil },
		},
		{
			name: "etcd is restored to an older state", required: "the Node is written again", early: true, lasts: time.Second,
			begin: func(ctx context.Context, s *scene) error { return s.api.Restore(ctx) },
			end:   func(context.Context, *scene) error { return nil },
		},
	}
	var rows []row
	for _, d := range disorders {
		rows = append(rows, d.row())
	}
	return rows
}

func (d disorder) row() row {
	if d.prepare == nil {
		d.prepare = kubernetes
	}
	prepare := d.prepare
	if d.proxied {
		prepare = proxied
	}
	if d.early {
		prepare = func(ctx context.Context, s *scene) error {
			return errors.Join(d.prepare(ctx, s), s.nodeSays(ctx, false), s.api.Backup(ctx))
		}
	}
	return row{
		name: d.name, required: "no packet lost, a new route at once; " + d.required, says: d.says,
		rewrites: true, prepare: prepare, inject: d.inject,
	}
}

// inject has the disorder come and go while a neighbour announces something new, and takes that back at the end.
func (d disorder) inject(ctx context.Context, s *scene) error {
	before, err := s.writes(ctx)
	if err != nil {
		return err
	}
	if d.early {
		if err := errors.Join(s.announced(ctx), s.nodeSays(ctx, true)); err != nil {
			return err
		}
	}
	lasts := d.lasts
	if lasts == 0 {
		lasts = s.o.outage
	}
	end := time.Now().Add(lasts)
	if err := d.begin(ctx, s); err != nil {
		return err
	}
	if !d.early {
		err = s.announced(ctx)
	}
	for _, pattern := range d.says {
		err = errors.Join(err, s.says(ctx, 20*time.Second, pattern))
	}
	if err := errors.Join(err, pause(ctx, time.Until(end)), d.end(ctx, s)); err != nil {
		return err
	}
	mended := time.Now()
	if err := s.nodeSays(ctx, true); err != nil {
		return err
	}
	truth := time.Since(mended).Round(100 * time.Millisecond)
	after := before
	_, err = s.until(ctx, 2*time.Second, "the write to be counted", func(ctx context.Context) (err error) {
		if after, err = s.writes(ctx); err == nil && after == before {
			err = errors.New("it is not")
		}
		return err
	})
	if err != nil {
		return err
	}
	s.note("lasted %s; writes %d; the Node says the truth %s after", lasts, after-before, truth)
	if d.proxied {
		s.note("%d requests were refused", s.proxy.count())
	}
	return errors.Join(s.raw.write(withdraw(netip.MustParsePrefix(news))), s.nodeSays(ctx, false))
}

// announced has the raw neighbour announce the news and waits until the kernel has them.
func (s *scene) announced(ctx context.Context) error {
	if err := s.raw.write(announce(nil, nil, netip.MustParsePrefix(news))); err != nil {
		return err
	}
	took, err := s.until(ctx, 2*time.Second, "the new route", func(context.Context) error {
		ours, _, err := kernelRoutes(s.east)
		if err == nil && !strings.Contains(strings.Join(ours, "\n"), news+" via") {
			err = errors.New("the kernel does not have it")
		}
		return err
	})
	s.note("a new route after %s", took)
	return err
}

// truthTime is what the Node may take to say the truth after the API works again: tries are spaced by up to 15 s, a token
// is believed for a minute, writes are 10 s apart.
const truthTime = 100 * time.Second

// nodeSays waits until the Node says that the news can be reached, or does not say it, and everything else in any case.
func (s *scene) nodeSays(ctx context.Context, there bool) error {
	_, err := s.until(ctx, truthTime, "what the Node says", func(ctx context.Context) error {
		text, err := s.api.Client().CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/east-1").DoRaw(ctx)
		if err != nil {
			return err
		}
		var node struct {
			Metadata struct{ Annotations map[string]string }
		}
		if err := json.Unmarshal(text, &node); err != nil {
			return err
		}
		said := node.Metadata.Annotations["underlayd.io/remote-cidrs"]
		if !strings.Contains(said, "10.30.1.0/24") || strings.Contains(said, news) != there {
			return fmt.Errorf("it says %s", said)
		}
		return nil
	})
	return err
}

// writes is how often the daemon has written its Node.
func (s *scene) writes(ctx context.Context) (int, error) {
	text, err := s.daemon.get(ctx, "/metrics")
	n, found := metricValue(text, "underlayd_kubernetes_node_writes_total")
	if err == nil && !found {
		err = errors.New("no metric of writes")
	}
	return int(n), err
}

func resume(ctx context.Context, s *scene) error { return s.api.Resume(ctx) }

func passOn(_ context.Context, s *scene) error {
	s.proxy.answer(0)
	return nil
}

// tokenFile is kubernetes with the token in a file of its own, as a Pod has it.
func tokenFile(ctx context.Context, s *scene) error {
	if err := kubernetes(ctx, s); err != nil {
		return err
	}
	path := s.path("east-1", "kubeconfig")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`token: (\S+)`).FindSubmatch(text)
	if found == nil {
		return errors.New("no token in the kubeconfig")
	}
	named := strings.Replace(string(text), string(found[0]), "tokenFile: /etc/underlayd/token", 1)
	return errors.Join(
		os.WriteFile(s.path("east-1", "token"), found[1], 0o600),
		os.WriteFile(path, []byte(named), 0o600),
		s.restart(ctx, syscall.SIGTERM))
}

// rotate deletes the Pod that the token is bound to, and gives the daemon that of the next one.
func rotate(ctx context.Context, s *scene) error {
	pods := "/api/v1/namespaces/kube-system/pods/underlayd-east-1"
	err := s.api.Client().CoreV1().RESTClient().Delete().AbsPath(pods).Body([]byte(`{"gracePeriodSeconds": 0}`)).
		SetHeader("Content-Type", "application/json").Do(ctx).Error()
	if err != nil {
		return err
	}
	agent, err := s.api.Agent(ctx, "east-1")
	if err != nil {
		return err
	}
	path := s.path("east-1", "token")
	err = errors.Join(os.WriteFile(path+".new", []byte(agent.BearerToken), 0o600), os.Rename(path+".new", path))
	return errors.Join(err, pause(ctx, tokenCache+time.Second))
}

// tokenCache is how long an API server believes a token that it knows: what is written sooner proves nothing.
const tokenCache = 10 * time.Second
