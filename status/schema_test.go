package status

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// strict compiles the schema of a kind, closed to keys that it does not name: what the types have and it has not is found.
func strict(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	text, err := Schema(kind)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	closeObjects(doc)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource(kind, doc))
	schema, err := compiler.Compile(kind)
	require.NoError(t, err)
	return schema
}

func closeObjects(doc any) {
	switch x := doc.(type) {
	case map[string]any:
		if _, named := x["properties"].(map[string]any); named {
			x["additionalProperties"] = false
		}
		for _, inner := range x {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range x {
			closeObjects(inner)
		}
	}
}

func judged(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return s.Validate(doc)
}

func TestWhatIsWrittenFitsItsSchema(t *testing.T) {
	checked := map[string]bool{}
	for _, family := range []struct{ files, kind string }{
		{"status-*.json", KindStatus}, {"peer*-*.json", KindPeerList}, {"routes-*.json", KindRouteList}, {"history-*.json", KindHistoryList},
	} {
		schema := strict(t, family.kind)
		files, err := filepath.Glob(filepath.Join("testdata", family.files))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, judged(t, schema, text), file)
			checked[family.kind] = true
		}
	}
	require.Len(t, checked, 4)
}

// TestEveryFieldIsInItsSchema: of a document in which nothing is left out.
func TestEveryFieldIsInItsSchema(t *testing.T) {
	for kind, document := range documents() {
		full, empty := reflect.New(document), reflect.New(document)
		fill(full.Elem(), 0)
		for _, v := range []reflect.Value{full, empty} {
			v.Elem().FieldByName("APIVersion").SetString(APIVersion)
			v.Elem().FieldByName("Kind").SetString(kind)
			text, err := json.Marshal(v.Interface())
			require.NoError(t, err)
			require.NoError(t, judged(t, strict(t, kind), text), "%s: %s", kind, text)
		}
	}
}

// fill gives each field that is told a value, and each list one element.
func fill(v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(now))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(addr("10.0.0.1")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(prefix("10.0.0.0/8")))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		element := reflect.New(v.Type().Elem()).Elem()
		fill(element, depth)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), element)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
}

func TestASchemaRefusesWhatDoesNotFit(t *testing.T) {
	golden, err := os.ReadFile("testdata/status-healthy.json")
	require.NoError(t, err)
	schema := strict(t, KindStatus)
	for name, change := range map[string][2]string{
		"another kind":        {`"kind": "Status"`, `"kind": "PeerList"`},
		"a key too many":      {`"node": "east-1"`, `"node": "east-1", "colour": "blue"`},
		"a key too few":       {`"node": "east-1",`, ``},
		"a text for a number": {`"asn": 64512`, `"asn": "64512"`},
		"a time that is none": {`"started": "2026`, `"started": "early 2026`},
	} {
		text := strings.Replace(string(golden), change[0], change[1], 1)
		require.NotEqual(t, string(golden), text, name)
		require.Error(t, judged(t, schema, []byte(text)), name)
	}
	_, err = Schema("Nonsense")
	require.EqualError(t, err, `kind "Nonsense": must be one of AdvertisedList, CheckList, Event, Explanation, FleetList, HistoryList, NodeSummary, PeerList, RouteList, Status`)
}
