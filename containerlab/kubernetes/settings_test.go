package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/deploy"
)

// settings is what status says that follows from annotations and Secrets.
type settings struct {
	ASN           uint32
	ASNFrom       string `json:"asnFrom"`
	ConfigProblem string `json:"configProblem"`
	Sessions      []struct {
		Peer, State, LastError, From string
		ASN                          uint32
		Flaps                        int
	}
	Problems []struct{ Subject, Message string }
}

const eastBySettings = `cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
bgp:
  asn: 64512
  connectRetry: 1s
  startLimit: 11s
  peers:
  - {name: west-1, address: 192.168.50.21, asn: 64513, holdTime: 9s, passwordSecret: {name: underlayd-passwords, key: west}}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"]}
kubernetes: {enabled: true, kubeconfig: /etc/underlayd/kubeconfig, confirmAfter: 1s, nodeAnnotations: [asn, peers]}
`

// westOfSettings believes in the AS number of the annotation, and has a password.
const westOfSettings = `cluster: {name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"]}
bgp:
  asn: 64513
  connectRetry: 1s
  peers: [{name: east-1, address: 192.168.50.11, asn: 65001, passwordFile: /etc/underlayd/west.key}]
clusters:
- {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
kubernetes: {enabled: false}
`

const firstSecret, secondSecret = "f1rst-0f-two-keys", "sec0nd-0f-two-keys"

// settled waits until east-1 says of itself what is wanted.
func (w *tribe) settled(t *testing.T, what string, f func(settings) error) {
	t.Helper()
	until(t, "east-1 to be "+what, func(ctx context.Context) error {
		out, err := w.Lab.Node("east-1").Output(ctx, "underlayd", "status", "-o", "json")
		if err != nil {
			return err
		}
		for _, key := range []string{firstSecret, secondSecret} {
			require.NotContains(t, out, key)
		}
		var s settings
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return err
		}
		if err := f(s); err != nil {
			return fmt.Errorf("%w: %+v", err, s)
		}
		return nil
	})
}

// annotate patches an annotation of ours on the Node, as an administrator does; nil takes it away.
func (w *tribe) annotate(t *testing.T, name string, value any) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{"underlayd.io/" + name: value}}})
	require.NoError(t, err)
	_, err = w.nodes().Patch(t.Context(), "east-1", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

// up says that the session with west-1 is established, as AS 65001 by annotation, and nothing of the configuration was
// refused.
func up(s settings) error {
	if s.ASN != 65001 || s.ASNFrom != "annotation underlayd.io/asn" || len(s.Sessions) == 0 || s.Sessions[0].State != "established" || s.ConfigProblem != "" {
		return errors.New("not yet")
	}
	return nil
}

// waits says that the session waits, and for what.
func waits(forWhat string) func(settings) error {
	return func(s settings) error {
		if len(s.Sessions) != 1 || s.Sessions[0].State == "established" || !strings.Contains(s.Sessions[0].LastError, forWhat) {
			return errors.New("not yet")
		}
		return nil
	}
}

// refuses says that a change was refused, why, and that all goes on as before.
func refuses(why string) func(settings) error {
	return func(s settings) error {
		problem := s.ConfigProblem
		s.ConfigProblem = ""
		if !strings.Contains(problem, why) || up(s) != nil || s.Sessions[0].Flaps > 0 {
			return errors.New("not yet")
		}
		return nil
	}
}

// testSettingsOfOneNode: the AS number and peers of a node by annotations of its Node, and its password from a Secret.
func testSettingsOfOneNode(t *testing.T) {
	w := newTribe(t, eastBySettings, westOfSettings)
	key := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(w.configs, "west.key"), []byte(text), 0o600))
	}
	secrets := w.apis["east"].Client().CoreV1().Secrets("kube-system")
	key(firstSecret)
	require.NoError(t, w.apis["east"].Install(t.Context(), deploy.PasswordSecret()))
	w.register(t, 1, "yes")
	w.annotate(t, "asn", "65001")
	require.NoError(t, w.Lab.Node("west-1").Launch(t.Context()))
	require.NoError(t, w.Lab.Node("east-1").Launch(t.Context()))

	w.settled(t, "without its Secret", waits("Secret kube-system/underlayd-passwords: there is none of this name"))
	_, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "underlayd-passwords"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.settled(t, "without its key", waits("Secret kube-system/underlayd-passwords: has no key west"))
	set := func(text string) {
		_, err := secrets.Update(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "underlayd-passwords"}, Data: map[string][]byte{"west": []byte(text)},
		}, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	set(firstSecret)
	w.settled(t, "up as the AS of its annotation", up)

	for _, row := range []struct {
		name, why string
		value     any
	}{
		{"asn", "Node east-1, annotation underlayd.io/asn: bgp.asn: 0: AS 0 is reserved", "0"},
		{"asn", "bgp.asn: 65001 to 65002 (NeedsRestart) by annotation underlayd.io/asn: a restart is needed", "65002"},
		{"asn", "", "65001"},
		{"peers", "annotation underlayd.io/peers:1:58: peers[0].passwordFile: /etc/shadow: can't be in an annotation",
			"[{name: x, address: 192.168.50.12, asn: 1, passwordFile: /etc/shadow}]"},
		{"peers", "", nil},
	} {
		w.annotate(t, row.name, row.value)
		w.settled(t, "saying "+row.why, refuses(row.why))
	}
	w.annotate(t, "peers", "[{name: xtra, address: 192.168.50.22, asn: 65009}]")
	w.annotate(t, "zone", "a")
	w.settled(t, "with a peer more, and heeding no more than it may", func(s settings) error {
		if up(s) != nil || len(s.Sessions) != 2 || s.Sessions[1].Peer != "xtra" || s.Sessions[1].From != "annotation underlayd.io/peers" || s.Sessions[0].Flaps > 0 ||
			!slices.ContainsFunc(s.Problems, func(p struct{ Subject, Message string }) bool {
				return p.Subject == "annotation underlayd.io/zone" && strings.Contains(p.Message, "kubernetes.nodeAnnotations does not list zone")
			}) {
			return errors.New("not yet")
		}
		return nil
	})
	w.annotate(t, "peers", nil)
	w.settled(t, "without it", refuses(""))

	set(secondSecret)
	w.settled(t, "down, since the peer has the key of before", func(s settings) error {
		if s.Sessions[0].State == "established" {
			return errors.New("not yet")
		}
		return nil
	})
	key(secondSecret)
	w.settled(t, "up again with the new one", up)
	require.NoError(t, secrets.Delete(t.Context(), "underlayd-passwords", metav1.DeleteOptions{}))
	w.settled(t, "up with the key of a Secret that is gone", func(s settings) error {
		if up(s) != nil || !slices.ContainsFunc(s.Problems, func(p struct{ Subject, Message string }) bool {
			return p.Subject == "peer west-1" && strings.Contains(p.Message, "there is none of this name; the password read before stays in force")
		}) {
			return errors.New("not yet")
		}
		return nil
	})
	_, err = secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "underlayd-passwords"}, Data: map[string][]byte{"west": []byte(secondSecret)}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.withoutAPI(t)
}

// withoutAPI restarts the daemon while its API is away: it is who it was, its routes stay beyond bgp.startLimit, and the peer
// waits for its password.
func (w *tribe) withoutAPI(t *testing.T) {
	until(t, "a route", func(context.Context) error {
		if w.known(t, "east-1", "10.20.1.0/24") == "" {
			return errors.New("not yet")
		}
		return nil
	})
	daemon := w.Lab.Node("east-1").Process("underlayd")
	bundle, err := w.Lab.Node("east-1").Output(t.Context(), "bash", "-c", "underlayd bundle -f - | tar -xzO")
	require.NoError(t, err)
	require.Contains(t, bundle, "underlayd-passwords", "what the Secret is called is told")
	w.apis["east"].Stop()
	require.NoError(t, daemon.Kill())
	log, err := os.ReadFile(daemon.LogPath())
	require.NoError(t, err)
	memo, err := os.ReadFile(w.Lab.Node("east-1").Path("/run/underlayd/memo.json"))
	require.NoError(t, err)
	for _, key := range []string{firstSecret, secondSecret} {
		require.NotContains(t, string(log)+string(memo)+bundle, key)
	}
	require.NoError(t, w.Lab.Node("east-1").Launch(t.Context()))
	w.settled(t, "who it was, waiting", func(s settings) error {
		if s.ASN != 65001 || s.ASNFrom != "annotation underlayd.io/asn" {
			return errors.New("another AS")
		}
		return waits("Secret kube-system/underlayd-passwords: not read from the API yet")(s)
	})
	require.NotEmpty(t, w.known(t, "east-1", "10.20.1.0/24"))
	require.NoError(t, w.apis["east"].Resume(t.Context()))
	w.settled(t, "up again", up)
	require.NotEmpty(t, w.known(t, "east-1", "10.20.1.0/24"))
}
