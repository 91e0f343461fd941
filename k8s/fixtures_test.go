package k8s

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s/annotation"
)

func testNode(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u-" + "1", ResourceVersion: "1"}}
}

func testCondition(c *content, since time.Time) []corev1.NodeCondition {
	return []corev1.NodeCondition{{
		Type: annotation.Condition, Status: corev1.ConditionStatus(c.status), Reason: c.reason, Message: c.message,
		LastTransitionTime: metav1.NewTime(since),
	}}
}

func mustTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}
