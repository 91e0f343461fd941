package config_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/underlayd/underlayd/config"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("config.json", doc))
	s, err := c.Compile("config.json")
	require.NoError(t, err)
	return s
}

// checkSchema has the schema judge a YAML text, as an editor does: by way of JSON.
func checkSchema(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(text), &v))
	asJSON, err := json.Marshal(v)
	require.NoError(t, err)
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return s.Validate(instance)
}

func TestSchemaAgreesWithParse(t *testing.T) {
	s := compileSchema(t)
	for name, text := range map[string]string{
		"the reference":                        string(config.Reference()),
		"the reference with its examples":      withExamples(),
		"the least":                            minimal,
		"every key":                            everything,
		"sections without values":              minimal + "node:\nclusters:\n",
		"an explicit empty pool":               "cluster: {name: a, id: 1, podCIDRs: []}\nbgp: {asn: 1}\n",
		"no listening":                         inBGP("port: -1"),
		"a quoted boolean where a word may be": minimal + "kubernetes: {enabled: \"true\"}\n",
	} {
		t.Run("both accept "+name, func(t *testing.T) {
			mustParse(t, text)
			require.NoError(t, checkSchema(t, s, text))
		})
	}
	for name, text := range map[string]string{
		"an empty file":                "{}\n",
		"an unknown key":               minimal + "x: 1\n",
		"an unknown key of a peer":     peer("x: 1"),
		"a peer without an address":    peers("name: a, asn: 1"),
		"a quoted number":              inBGP("port: \"179\""),
		"a number for a name":          "cluster: {name: 1, id: 1, podCIDRs: []}\nbgp: {asn: 1}\n",
		"a name in upper case":         "cluster: {name: East, id: 1, podCIDRs: []}\nbgp: {asn: 1}\n",
		"AS_TRANS":                     "cluster: {name: a, id: 1, podCIDRs: []}\nbgp: {asn: 23456}\n",
		"AS 0":                         "cluster: {name: a, id: 1, podCIDRs: []}\nbgp: {asn: 0}\n",
		"port 0":                       inBGP("port: 0"),
		"a multihop TTL of 1":          peer("multihop: 1"),
		"a duration without a unit":    inBGP("holdTime: 90"),
		"a range without a length":     "cluster: {name: a, id: 1, podCIDRs: [10.0.0.0]}\nbgp: {asn: 1}\n",
		"a name for an address":        peers("name: a, address: tor, asn: 1"),
		"an unknown family":            peer("families: [ipv5]"),
		"no families":                  peer("families: []"),
		"a range listed twice":         inCluster("reserved: [10.2.0.0/16, 10.2.0.0/16]"),
		"a contract without ranges":    remotes("name: west, id: 2, podCIDRs: []"),
		"three lengths":                remote("prefixLength: {ipv4: [16, 20, 24]}"),
		"a length beyond the family's": remote("prefixLength: {ipv4: [16, 33]}"),
		"an unknown log level":         minimal + "log: {level: loud}\n",
		"metric 0":                     minimal + "kernel: {metric: 0}\n",
		"BIRD's protocol":              minimal + "kernel: {protocol: 12}\n",
		"the local table":              minimal + "kernel: {table: 255}\n",
		"a list for a section":         minimal + "log: []\n",
	} {
		t.Run("both refuse "+name, func(t *testing.T) {
			_, err := parse(text)
			require.Error(t, err)
			require.Error(t, checkSchema(t, s, text))
		})
	}
}

func TestSchemaHasDefaultsAndDescriptions(t *testing.T) {
	var s struct {
		Properties map[string]struct {
			Properties map[string]struct {
				Default     any
				Description string
			}
		}
	}
	require.NoError(t, json.Unmarshal(config.Schema(), &s))
	require.Equal(t, float64(254), s.Properties["kernel"].Properties["table"].Default)
	require.Equal(t, "90s", s.Properties["bgp"].Properties["holdTime"].Default)
	require.NotEmpty(t, s.Properties["bgp"].Properties["asn"].Description)
}
