package status

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// schemaObject is a piece of a JSON Schema.
type schemaObject map[string]any

// RouteList is the answer about routes, as a program may hold it; the server and the Client stream it.
type RouteList struct {
	RouteHead
	Items []*Route `json:"items"`
}

// documents are the kinds that are told, and what each is made of.
func documents() map[string]reflect.Type {
	return map[string]reflect.Type{
		KindStatus: reflect.TypeFor[Snapshot](), KindPeerList: reflect.TypeFor[PeerList](), KindRouteList: reflect.TypeFor[RouteList](),
		KindHistoryList: reflect.TypeFor[HistoryList](), KindEvent: reflect.TypeFor[Event](), KindExplanation: reflect.TypeFor[Explanation](),
		KindAdvertisedList: reflect.TypeFor[AdvertisedList](), KindCheckList: reflect.TypeFor[CheckList](),
		KindNodeSummary: reflect.TypeFor[NodeSummary](), KindFleetList: reflect.TypeFor[FleetList](),
	}
}

// Kinds lists the kinds that Schema knows, in the order of their names.
func Kinds() []string { return sortedKeys(documents()) }

// Schema returns the JSON Schema (draft 2020-12) of a kind of document, made from the types that are encoded. It allows keys
// that it does not know, for keys are added within an APIVersion.
func Schema(kind string) ([]byte, error) {
	document, known := documents()[kind]
	if !known {
		return nil, fmt.Errorf("kind %q: must be one of %s", kind, strings.Join(Kinds(), ", "))
	}
	w := schemaWriter{definitions: schemaObject{}}
	root := w.object(document)
	if properties, is := root["properties"].(schemaObject); is {
		properties["apiVersion"], properties["kind"] = schemaObject{"const": APIVersion}, schemaObject{"const": kind}
	}
	root["$schema"], root["title"] = "https://json-schema.org/draft/2020-12/schema", "underlayd "+kind
	if len(w.definitions) > 0 {
		root["$defs"] = w.definitions
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	return append(text, '\n'), nil
}

// schemaWriter collects the definitions of the types that it comes across.
type schemaWriter struct{ definitions schemaObject }

// object describes a struct.
func (w schemaWriter) object(t reflect.Type) schemaObject {
	properties, required := schemaObject{}, []string{}
	w.fields(t, properties, &required)
	slices.Sort(required)
	return schemaObject{"type": "object", "properties": properties, "required": required}
}

// fields adds those of a struct and, as encoding/json does, those of what is embedded in it.
func (w schemaWriter) fields(t reflect.Type, properties schemaObject, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			w.fields(f.Type, properties, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		name = cmp.Or(name, f.Name)
		optional := slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
		if !optional {
			*required = append(*required, name)
		}
		properties[name] = w.value(f.Type, !optional)
	}
}

// value describes what a type becomes. Nil pointers, lists and maps that are not left out are null.
func (w schemaWriter) value(t reflect.Type, nullable bool) schemaObject {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return schemaObject{"type": "string", "format": "date-time"}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return schemaObject{"type": "string", "description": t.Name() + "; empty: none"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(w.value(t.Elem(), false), nullable)
	case reflect.Slice:
		return orNull(schemaObject{"type": "array", "items": w.value(t.Elem(), false)}, nullable)
	case reflect.Map:
		return orNull(schemaObject{"type": "object", "additionalProperties": w.value(t.Elem(), false)}, nullable)
	case reflect.Struct:
		if _, known := w.definitions[t.Name()]; !known {
			w.definitions[t.Name()] = nil // ends the recursion of a type that contains itself
			w.definitions[t.Name()] = w.object(t)
		}
		return schemaObject{"$ref": "#/$defs/" + t.Name()}
	case reflect.Bool:
		return schemaObject{"type": "boolean"}
	case reflect.String:
		return schemaObject{"type": "string"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schemaObject{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return schemaObject{"type": "number"}
	default:
		return schemaObject{"type": "integer"}
	}
}

func orNull(s schemaObject, nullable bool) schemaObject {
	if !nullable {
		return s
	}
	return schemaObject{"anyOf": []schemaObject{s, {"type": "null"}}}
}
