package bgp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

func secret(t *testing.T, text string) Secret {
	t.Helper()
	s, err := ParseSecret([]byte(text))
	require.NoError(t, err)
	return s
}

func TestSecretsAreParsed(t *testing.T) {
	for _, row := range []struct{ name, raw, key, problem string }{
		{"one line", "Fabr1c\n", "Fabr1c", ""},
		{"without a line break", "Fabr1c", "Fabr1c", ""},
		{"from a Windows machine", "Fabr1c\r\n", "Fabr1c", ""},
		{"spaces are part of it", " a b \n", " a b ", ""},
		{"the longest", strings.Repeat("x", 80) + "\n", strings.Repeat("x", 80), ""},
		{"one byte more", strings.Repeat("x", 81) + "\n", "", "has 81 bytes"},
		{"empty", "", "", "is empty"},
		{"nothing but a line break", "\n", "", "is empty"},
		{"two lines", "a\nb\n", "", "one line"},
		{"a binary", "a\x00b", "", "control characters"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := ParseSecret([]byte(row.raw))
			if row.problem != "" {
				require.ErrorContains(t, err, row.problem)
				require.True(t, s.IsZero())
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.key, s.text)
		})
	}
}

func TestSecretsNeverShow(t *testing.T) {
	s := secret(t, "Fabr1c")
	p := Peer{Transport: Transport{Name: "a", Password: s}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, s, p, &p)
	}
	encoded, err := json.Marshal(p)
	require.NoError(t, err)
	out.Write(encoded)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "peer", p)
	log := logrus.New()
	log.SetOutput(&out)
	log.WithField("secret", s).WithField("peer", p).Info("x")
	log.SetFormatter(&logrus.JSONFormatter{})
	log.WithField("secret", s).WithField("peer", p).Info("x")
	require.NotContains(t, out.String(), "Fabr1c")
	require.NotContains(t, out.String(), fmt.Sprintf("%x", "Fabr1c"))
	require.Contains(t, out.String(), redacted)
	require.NotContains(t, fmt.Sprint(Secret{}), redacted, "none is none")
}
