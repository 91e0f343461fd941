package k8s_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// TestWhatPeopleSayOnTheNodeIsFollowed: of the keys that are asked for, and of no other.
func TestWhatPeopleSayOnTheNodeIsFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "annotated", quick)
	const key = "underlayd.io/asn"
	config := k8s.Config{
		REST: f.rest, NodeName: f.name, Log: logger(t), Pace: quick, ConfirmAfter: soon,
		AnnotationKeys: []string{key}, Annotations: map[string]string{key: "1"},
	}
	n, err := k8s.New(config)
	require.NoError(t, err)
	said, err := n.Annotations()
	require.ErrorIs(t, err, k8s.ErrAnnotationsUnknown)
	require.Equal(t, "1", said[key], "those of the last run are there meanwhile")
	ended, end := context.WithCancel(t.Context())
	end()
	n.AwaitAnnotations(ended)
	becomes := func(want map[string]string) {
		t.Helper()
		require.Eventually(t, func() bool {
			said, err = n.Annotations()
			return err == nil && len(said) == len(want) && said[key] == want[key]
		}, time.Minute, 20*time.Millisecond)
	}
	f.run(n)
	n.AwaitAnnotations(t.Context())
	becomes(map[string]string{key: "64512"})
	f.patch(`{"metadata":{"annotations":{"underlayd.io/asn":"65001","example.org/asn":"7"}}}`)
	becomes(map[string]string{key: "65001"})

	require.NoError(t, f.server.Client().CoreV1().Nodes().Delete(t.Context(), f.name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return !n.Stats().NodeExists }, time.Minute, 20*time.Millisecond)
	start := time.Now()
	_, err = f.server.Client().CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: f.name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return n.Stats().NodeExists }, time.Minute, 20*time.Millisecond)
	said, err = n.Annotations()
	require.NoError(t, err)
	require.Equal(t, "65001", said[key], "a Node made again keeps them for a while")
	becomes(map[string]string{})
	require.GreaterOrEqual(t, time.Since(start), soon, "until a second reading")
}

// TestSecretsAreFollowedByTheirNames: with the right to one of them, and without the right to another.
func TestSecretsAreFollowedByTheirNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "secretive", quick)
	secrets := f.server.Client().CoreV1().Secrets("kube-system")
	const name, other = "underlayd-passwords", "somebody-elses"
	require.NoError(t, f.server.Install(t.Context(), deploy.PasswordSecret()))
	for _, one := range []string{name, other} {
		t.Cleanup(func() { _ = secrets.Delete(context.Background(), one, metav1.DeleteOptions{}) })
	}
	put := func(name string, data map[string]string) {
		t.Helper()
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
		if _, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{}); err == nil {
			return
		}
		require.NoError(t, secrets.Delete(t.Context(), name, metav1.DeleteOptions{}))
		_, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	put(other, map[string]string{"tor": "not yours"})
	s, err := k8s.NewSecrets(k8s.SecretsConfig{REST: rest.CopyConfig(f.rest), Namespace: "kube-system", Log: logger(t), Pace: quick})
	require.NoError(t, err)
	s.Follow([]string{name, other})
	_, err = s.Value(name, "tor")
	require.ErrorIs(t, err, k8s.ErrSecretUnread)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	becomes := func(key, value, problem string) {
		t.Helper()
		var got []byte
		var err error
		require.Eventually(t, func() bool {
			got, err = s.Value(name, key)
			if problem != "" {
				return string(got) == value && err != nil && err.Error() == problem
			}
			return string(got) == value && err == nil
		}, time.Minute, 20*time.Millisecond, "%v", err)
	}
	const of = "Secret kube-system/" + name
	becomes("tor", "", of+": there is none of this name")
	put(name, map[string]string{"tor": "one", "leaf": "two"})
	becomes("tor", "one", "")
	becomes("spine", "", of+": has no key spine")
	put(name, map[string]string{"tor": "three"})
	becomes("tor", "three", "")
	becomes("leaf", "two", of+": has no key leaf") // what was known stays
	require.NoError(t, secrets.Delete(t.Context(), name, metav1.DeleteOptions{}))
	becomes("tor", "three", of+": there is none of this name")
	put(name, map[string]string{"tor": "four"})
	becomes("tor", "four", "")

	require.ErrorContains(t, s.Problem(), "Secret kube-system/"+other+": grant get, list and watch of secrets with the resourceNames ["+other+"] in namespace kube-system")
	require.NotContains(t, s.Problem().Error(), name)
	value, err := s.Value(other, "tor")
	require.ErrorIs(t, err, k8s.ErrSecretUnread)
	require.Nil(t, value)
	s.Follow([]string{other})
	_, err = s.Value(name, "tor")
	require.ErrorIs(t, err, k8s.ErrSecretUnread, "what nobody wants any more is forgotten")
	s.Follow(nil)
	require.NoError(t, s.Problem())
}
