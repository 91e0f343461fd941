package bgp

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// maxSecret is the longest key in bytes that the kernel takes (TCP_MD5SIG_MAXKEYLEN).
const maxSecret = 80

// Secret is the key of TCP's MD5 signatures (RFC 2385). The zero Secret is none. It can be compared, and it never
// shows: whatever prints, logs or encodes one gets "[redacted]", or "" for none.
type Secret struct{ text string }

// ParseSecret makes a Secret of what a file holds. One line break at the end is not part of it. Its errors name the
// rule and nothing of the text.
func ParseSecret(raw []byte) (Secret, error) {
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	switch {
	case text == "":
		return Secret{}, errors.New("is empty: a password has 1 to 80 bytes")
	case len(text) > maxSecret:
		return Secret{}, fmt.Errorf("has %d bytes: a password has 1 to %d (the kernel takes no more)", len(text), maxSecret)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Secret{}, errors.New("must be one line without control characters: no router could be given such a password")
	}
	return Secret{text}, nil
}

// IsZero says whether there is none.
func (s Secret) IsZero() bool { return s.text == "" }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

const redacted = "[redacted]"

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return "bgp.Secret(" + s.String() + ")" }

// Format implements fmt.Formatter: no verb shows it, whatever it is nested in.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
