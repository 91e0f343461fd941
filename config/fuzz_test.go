package config_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

// FuzzParse holds Parse to its promises for any text: it does not panic, it gives a Config or errors and not
// both, and a Config passes Validate, is read back from its Print, has no changes to itself and satisfies the
// schema.
func FuzzParse(f *testing.F) {
	for _, text := range []string{minimal, everything, before, string(config.Reference()), withExamples(), peer("hops: 2"), remote("maxPrefixes: 9"), "&a [*a]", "? {}\n: <<", "%YAML 1.2\n---\n!!map {}"} {
		f.Add([]byte(text))
	}
	schema := compileSchema(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse(bytes.NewReader(text), "f.yaml", onNode())
		if err != nil {
			require.Nil(t, c)
			require.NotEmpty(t, err.Error())
			return
		}
		require.NoError(t, c.Validate())
		require.Equal(t, c, mustParse(t, printed(t, c)))
		require.Empty(t, config.Changes(c, c))
		require.NoError(t, checkSchema(t, schema, string(text)))
	})
}

// FuzzChanges holds Changes to its promises for any two configurations: it does not panic, says nothing only of equal
// ones, names the peers of whom it says that their sessions are reset, and is undone by the way back.
func FuzzChanges(f *testing.F) {
	for _, text := range []string{minimal, before, string(config.Reference()), peer("hops: 2"), remote("maxPrefixes: 9")} {
		f.Add([]byte(text), []byte(before))
		f.Add([]byte(before), []byte(text))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, err := config.Parse(bytes.NewReader(first), "a.yaml", onNode())
		if err != nil {
			return
		}
		b, err := config.Parse(bytes.NewReader(second), "b.yaml", onNode())
		if err != nil {
			return
		}
		changes := config.Changes(a, b)
		require.Len(t, config.Changes(b, a), len(changes), "%v", changes)
		for _, c := range changes {
			require.NotEmpty(t, c.Path)
			require.NotEqual(t, c.Old, c.New, c.Path)
			require.Equal(t, c.Effect == config.ResetsPeer, len(c.Peers) > 0, "%s", c)
		}
	})
}
