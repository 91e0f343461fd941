package config

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/labels"
)

// labelPair is a label of a node, key=value, by the rules of Kubernetes.
func labelPair() kind[string] {
	k := text[string]("key=value").where(func(pair string) error {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return broken("must be a label, key=value, such as example.org/rack=a")
		}
		if wrong := content.IsLabelKey(key); len(wrong) > 0 {
			return broken("must have a key as Kubernetes allows it, such as example.org/rack: %s", wrong[0])
		}
		if wrong := content.IsLabelValue(value); len(wrong) > 0 {
			return broken("must have a value as Kubernetes allows it: %s", wrong[0])
		}
		return nil
	})
	k.want = "a label, key=value"
	k.schema = schema{"type": "string", "pattern": "^([-.a-z0-9]+/)?[-._A-Za-z0-9]+=[-._A-Za-z0-9]*$"}
	return k
}

// defaultSecretKey is the key of a Secret of Kubernetes' own type for a password (kubernetes.io/basic-auth).
const defaultSecretKey = "password"

// secretKey is a key of a Secret, by the rules of Kubernetes.
func secretKey() kind[string] {
	const longest = 253
	k := text[string]("key").where(func(key string) error {
		odd := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
		}
		if key == "" || len(key) > longest || strings.ContainsFunc(key, odd) {
			return broken("must be a key that a Secret can have: 1 to %d of letters, digits, -, _ and .", longest)
		}
		return nil
	})
	k.schema = schema{"type": "string", "pattern": "^[-._a-zA-Z0-9]+$", "maxLength": longest}
	return k
}

// selector is a label selector, as kubectl get -l takes it; empty: everything.
func selector() kind[string] {
	return text[string]("selector").where(func(text string) error {
		if _, err := labels.Parse(text); err != nil {
			return broken("must be a label selector, as kubectl get -l takes it, such as example.org/rack=a: %s", strings.Join(strings.Fields(err.Error()), " "))
		}
		return nil
	})
}

// canonicalSelector gives selectors that say the same in the same order one text.
func canonicalSelector(text string) string {
	parsed, err := labels.Parse(text)
	if err != nil {
		return text // reported where it was read
	}
	return parsed.String()
}

// bothSelectors selects what both of two selectors select.
func bothSelectors(texts ...string) string {
	both := labels.NewSelector()
	for _, text := range texts {
		if parsed, err := labels.Parse(text); err == nil { // one with an error is reported where it was read
			requirements, _ := parsed.Requirements()
			both = both.Add(requirements...)
		}
	}
	return both.String()
}

// whose says which nodes have a peer: the text of a selector. In a configuration for one node all peers are of that node.
func (r relations) whose(p Peer) string {
	if r.on != nil || p.NodeSelector == "" {
		return ""
	}
	return canonicalSelector(p.NodeSelector)
}

// meet says of what two selectors say whether all nodes that have the one peer have the other too, or the other way round.
// Of others it depends on the nodes, and turns out on them: see ForNode.
func meet(a, b string) bool { return a == "" || b == "" || a == b }

// places remembers where peers with a selector have been seen first, by what each place has one of.
type places map[string]*seenPlace

type seenPlace struct {
	first string
	by    map[string]string // by selector
}

// claim reports a place that another peer has already, on the same nodes.
func (p places) claim(path, value, whose string, fail report) {
	seen := p[value]
	if seen == nil {
		p[value] = &seenPlace{first: path, by: map[string]string{whose: path}}
		return
	}
	taken, is := seen.by[whose]
	if whose == "" {
		taken, is = seen.first, true
	} else if !is {
		taken, is = seen.by[""], seen.by[""] != ""
	}
	if is {
		fail(path, value, "is already used by "+taken)
		return
	}
	seen.by[whose] = path
}

// nodeLabels refuses a label that is given twice.
func (r relations) nodeLabels() {
	seen := make(map[string]string)
	for i, pair := range r.Node.Labels {
		key, _, _ := strings.Cut(pair, "=")
		path := element("node.labels", i)
		if first, twice := seen[key]; twice && key != "" {
			r.fail(path, pair, "gives the label "+key+" a second value: also at "+first)
			continue
		}
		seen[key] = path
	}
}
