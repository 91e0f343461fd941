package config

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors. Whatever Parse accepts without the
// help of flags and variables, the schema accepts too; the rules between keys are beyond it.
func Schema() []byte {
	root := sectionSchema(keysOf(grammar()))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "underlayd configuration"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil // can't be: strings, numbers and maps of them; the tests compile the result
	}
	return append(text, '\n')
}

func sectionSchema(keys []key) schema {
	properties, required := make(schema), []string{}
	for _, k := range keys {
		properties[k.name] = k.jsonSchema()
		if k.required {
			required = append(required, k.name)
		}
	}
	return schema{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func (k key) jsonSchema() schema {
	s := make(schema)
	switch k.shape {
	case scalarShape:
		for name, rule := range k.schema {
			s[name] = rule
		}
	case listShape:
		s = schema{"type": "array", "items": k.schema, "uniqueItems": true}
		if k.filled {
			s["minItems"] = 1
		}
		if k.lone {
			s = schema{"anyOf": []schema{k.schema, s}}
		}
	case sectionShape, templateShape:
		s = sectionSchema(k.keys)
	case sectionsShape:
		items := sectionSchema(k.keys)
		if len(k.choice) > 0 {
			var either []schema
			for _, name := range k.choice {
				either = append(either, schema{"required": []string{name}})
			}
			items["oneOf"] = either
		}
		s = schema{"type": "array", "items": items}
	}
	if k.shape != scalarShape && !k.required && !k.filled && !k.lone {
		s["type"] = []any{s["type"], "null"} // a key whose lines are all commented out
	}
	s["description"] = k.doc
	if d := k.defaultValue(); d != nil {
		s["default"] = d
	}
	return s
}

// defaultValue is the default as JSON has it.
func (k key) defaultValue() any {
	if k.fallback == "" {
		return nil
	}
	if k.shape == listShape {
		var all []any
		for _, item := range splitList(k.fallback) {
			all = append(all, k.value(item.Value))
		}
		return all
	}
	return k.value(k.fallback)
}

func (k key) value(text string) any {
	var v any = text
	if k.typed && yaml.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	return v
}
