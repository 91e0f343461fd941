package k8s

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// problem is what the last outcome named.
func (s *script) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// meddle sets what becomes of each write; nil leaves them alone.
func (s *script) meddle(alter func(*live)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alter = alter
}

func TestWhatDoesNotStayIsWrittenEverLessOften(t *testing.T) {
	shrink := func(l *live) { l.annotations[annotation.RemoteCIDRs] = `["10.0.0.0/24"]` }
	t.Run("when every write is altered on its way", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.meddle(shrink)
			s.publish(9)
			time.Sleep(30 * time.Minute)
			require.Equal(t, []string{"2s", "12s", "32s", "1m12s", "2m32s", "5m12s", "10m32s", "15m52s", "21m12s", "26m32s"}, timesOf(s.written()))
			require.ErrorContains(t, s.problem(), "underlayd.io/remote-cidrs")
			s.meddle(nil)
			time.Sleep(6 * time.Minute)
			require.Len(t, s.written(), 11, "and once more when nobody alters it")
			require.Error(t, s.problem(), "peace has to last before it is one")
			time.Sleep(6 * time.Minute)
			require.NoError(t, s.problem())
		})
	})
	t.Run("though it promises too much: to be urgent changes nothing", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.meddle(func(l *live) { l.annotations[annotation.RemoteCIDRs] = `["10.0.0.0/8"]` })
			s.publish(9)
			time.Sleep(30 * time.Minute)
			require.Less(t, len(s.written()), 16)
		})
	})
	t.Run("and news are written at the ordinary pace all the same", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.meddle(shrink)
			s.publish(9)
			time.Sleep(30 * time.Minute)
			before := len(s.written())
			s.publish(12)
			time.Sleep(11 * time.Second)
			require.Len(t, s.written(), before+1)
		})
	})
	t.Run("nor is a Node that is made again, as often as it is", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.publish(9)
			time.Sleep(time.Minute)
			for i := range 10 {
				s.mu.Lock()
				node := testNode("n")
				node.UID = types.UID(fmt.Sprint(i))
				s.node = newLive(node)
				s.mu.Unlock()
				poke(s.wake)
				time.Sleep(11 * time.Second)
				require.NoError(t, s.problem())
				require.Len(t, s.written(), 2+i)
			}
		})
	})
	t.Run("a single mistake of somebody is no contest", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.publish(9)
			time.Sleep(time.Minute)
			for range 3 {
				s.mu.Lock()
				shrink(s.node)
				s.mu.Unlock()
				poke(s.wake)
				time.Sleep(5 * time.Minute)
				require.NoError(t, s.problem())
			}
			require.Equal(t, []string{"2s", "1m2s", "6m2s", "11m2s"}, timesOf(s.written()))
		})
	})
}

func TestWhoContestsIsNamed(t *testing.T) {
	c := render(new(testReport(1)))
	entry := func(manager, operation, fields string) metav1.ManagedFieldsEntry {
		e := metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationType(operation), FieldsV1: &metav1.FieldsV1{}}
		if manager == annotation.FieldManager {
			e.Subresource = "status"
		}
		e.FieldsV1.SetRawBytes([]byte(fields))
		return e
	}
	const cidrs = `{"f:metadata":{"f:annotations":{"f:underlayd.io/remote-cidrs":{}}}}`
	for _, row := range []struct {
		name     string
		managers []metav1.ManagedFieldsEntry
		says     string
	}{
		{"our own manager, though our write was as written", []metav1.ManagedFieldsEntry{entry("underlayd", "Apply", cidrs)}, "another underlayd with the name of this node"},
		{"another manager", []metav1.ManagedFieldsEntry{entry("kubectl-edit", "Update", cidrs)}, `field manager "kubectl-edit"`},
		{"two of them", []metav1.ManagedFieldsEntry{entry("b", "Update", cidrs), entry("a", "Apply", cidrs)}, `field manager "a" and field manager "b"`},
		{"our own write, altered", []metav1.ManagedFieldsEntry{entry("underlayd", "Apply", cidrs)}, "an admission webhook or policy"},
		{"nobody", nil, "somebody who leaves no trace"},
		{"a manager of something else", []metav1.ManagedFieldsEntry{entry("kubelet", "Update", `{"f:metadata":{"f:annotations":{"f:volumes":{}}}}`)}, "somebody who leaves no trace"},
		{"text that is no set of fields", []metav1.ManagedFieldsEntry{entry("x", "Update", `[`)}, "somebody who leaves no trace"},
		{"a name that floods", []metav1.ManagedFieldsEntry{entry(string(make([]byte, 9999)), "Update", cidrs)}, `field manager "\x00`},
	} {
		t.Run(row.name, func(t *testing.T) {
			node := testNode("n")
			node.Annotations = map[string]string{annotation.RemoteCIDRs: "[]"}
			for key, value := range c.annotations {
				if key != annotation.RemoteCIDRs {
					node.Annotations[key] = value
				}
			}
			node.Status.Conditions = testCondition(c, time.Time{})
			node.ManagedFields = row.managers
			err := newLive(node).dispute(c, strings.Contains(row.name, "altered"))
			require.ErrorContains(t, err, "annotation underlayd.io/remote-cidrs, by "+row.says)
			require.Less(t, len(err.Error()), 600)
			require.True(t, answered(err), "the end of an outage does not end it")
		})
	}
}
