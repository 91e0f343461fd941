package k8s

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// live is what matters here of the Node as the API last showed it. It is never
// changed once made.
type live struct {
	uid, version string
	annotations  map[string]string // the contract's keys only
	condition    *corev1.NodeCondition
	owned        map[string]bool // annotations of which we are the applier
	managers     []metav1.ManagedFieldsEntry
	taint        placedTaint // the startup taint
	tainted      bool        // there is one
}

func newLive(node *corev1.Node) *live {
	l := &live{
		uid: string(node.UID), version: node.ResourceVersion,
		annotations: map[string]string{}, owned: map[string]bool{}, managers: node.ManagedFields,
	}
	l.taint, l.tainted = startupTaint(node.Spec.Taints)
	for _, key := range annotation.Keys() {
		if value, ok := node.Annotations[key]; ok {
			l.annotations[key] = value
		}
	}
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == annotation.Condition {
			l.condition = node.Status.Conditions[i].DeepCopy()
		}
	}
	for _, entry := range node.ManagedFields {
		if ours(entry) && entry.FieldsV1 != nil {
			// Text that is no set of fields leaves them unowned, which costs one apply.
			for key := range fieldsOf(entry.FieldsV1.GetRawBytes()).Metadata.Annotations {
				if key, ok := strings.CutPrefix(key, "f:"); ok {
					l.owned[key] = true
				}
			}
		}
	}
	return l
}

// says reports whether the Node carries exactly this content.
func (l *live) says(c *content) bool {
	return maps.Equal(l.annotations, c.annotations) && l.condition != nil &&
		string(l.condition.Status) == string(c.status) &&
		l.condition.Reason == c.reason && l.condition.Message == c.message
}

// owns reports whether the annotations we are the applier of are those of the
// content: an apply would neither add nor remove one. After an upgrade that
// dropped a key it would.
func (l *live) owns(c *content) bool {
	if len(l.owned) != len(c.annotations) {
		return false
	}
	for key := range c.annotations {
		if !l.owned[key] {
			return false
		}
	}
	return true
}

// clean reports whether nothing of ours is left on the Node.
func (l *live) clean() bool { return len(l.annotations) == 0 && l.condition == nil }

// loses reports whether the Node promises an address that the content does not
// have. A promise that no consumer can read is none.
func (l *live) loses(c *content) bool {
	state, err := annotation.Parse(l.annotations)
	if err != nil {
		return false
	}
	for _, prefix := range state.RemoteCIDRs {
		if !c.remote.ContainsPrefix(prefix) {
			return true
		}
	}
	return false
}

// since returns when the condition got this status, zero when it has another.
func (l *live) since(status ConditionStatus) time.Time {
	if l.condition == nil || string(l.condition.Status) != string(status) {
		return time.Time{}
	}
	return l.condition.LastTransitionTime.Time
}

// applyBody is the whole of what this field manager says of a Node. With a nil
// content it says nothing, which removes all it ever said.
func applyBody(name string, c *content, since time.Time) ([]byte, error) {
	type metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	type condition struct {
		Type       string      `json:"type"`
		Status     string      `json:"status"`
		Reason     string      `json:"reason"`
		Message    string      `json:"message"`
		Transition metav1.Time `json:"lastTransitionTime"`
		// A heartbeat would write the Node for ever to say what the Lease says;
		// the field is set since tools print its absence as the year 1.
		Heartbeat metav1.Time `json:"lastHeartbeatTime"`
	}
	type status struct {
		Conditions []condition `json:"conditions"`
	}
	body := struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Status     *status  `json:"status,omitempty"`
	}{APIVersion: "v1", Kind: "Node", Metadata: metadata{Name: name}}
	if c != nil {
		at := metav1.NewTime(since.UTC().Truncate(time.Second))
		body.Metadata.Annotations = c.annotations
		body.Status = &status{[]condition{{annotation.Condition, string(c.status), c.reason, c.message, at, at}}}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(body)
	return out.Bytes(), err
}

// removeBody is a strategic merge patch that takes what is left of ours off a
// Node, whoever wrote it last.
func removeBody() []byte {
	nulls := map[string]any{}
	for _, key := range annotation.Keys() {
		nulls[key] = nil
	}
	return []byte(encodeJSON(map[string]any{
		"metadata": map[string]any{"annotations": nulls},
		"status": map[string]any{"conditions": []any{
			map[string]any{"$patch": "delete", "type": annotation.Condition},
		}},
	}))
}
