package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSONBecomesYAMLWithTheSameMeaning(t *testing.T) {
	var out strings.Builder
	require.NoError(t, JSONToYAML(&out, strings.NewReader(`{"b":1,"a":["x","1","true","10:20","no","10.1.0.0/16","é\n"],"none":[],"deep":{"k":null,"s":"","e":{}}}`)))
	require.Equal(t, `b: 1
a:
  - x
  - "1"
  - "true"
  - "10:20"
  - "no"
  - "10.1.0.0/16"
  - "é\n"
none: []
deep:
  k: null
  s: ""
  e: {}
`, out.String())
	require.Error(t, JSONToYAML(&out, strings.NewReader(`{"cut":[`)))
}
