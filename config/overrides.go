package config

import (
	"os"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
)

const envPrefix = "UNDERLAYD_"

// Overrides are the sources of values that beat the file. The zero Overrides has none.
type Overrides struct {
	// Flags is a set that went through BindFlags. Only flags that were given count.
	Flags *pflag.FlagSet
	// LookupEnv is os.LookupEnv in the daemon; nil: no environment. An empty variable counts as unset,
	// which is how a manifest leaves one out.
	LookupEnv func(string) (string, bool)
	// Hostname gives the node's name when nothing else does; nil: os.Hostname.
	Hostname func() (string, error)
}

// FromProcess are the Overrides of a running program: its environment, and its flags if it has any.
func FromProcess(flags *pflag.FlagSet) Overrides {
	return Overrides{Flags: flags, LookupEnv: os.LookupEnv, Hostname: os.Hostname}
}

// BindFlags adds a flag for every key that has one (see Keys). Their values are checked by Parse, together
// with everything else. It must be called once per set: pflag panics on a flag added twice.
func BindFlags(flags *pflag.FlagSet) {
	for _, k := range Keys() {
		if k.Flag == "" {
			continue
		}
		kind := k.Type
		if of, list := strings.CutPrefix(kind, "list of "); list {
			kind = of + ",..."
		}
		f := flags.VarPF(&flagText{kind: kind, text: k.fallback}, strings.TrimPrefix(k.Flag, "--"), "",
			k.Description+" ("+k.Env+")")
		if k.Type == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// flagText is a flag's value before it is parsed.
type flagText struct{ kind, text string }

func (f *flagText) String() string { return f.text }

func (f *flagText) Set(text string) error {
	f.text = text
	return nil
}

func (f *flagText) Type() string { return f.kind }

// override is a value that replaces the file's.
type override struct {
	text   string
	origin string // the flag or variable, as a person would type it
}

// collect returns the overrides by path: the flag if given, else the variable.
func (o Overrides) collect() map[string]override {
	all := make(map[string]override)
	for _, k := range Keys() {
		if k.Flag == "" {
			continue
		}
		if text, ok := o.env(k.Env); ok {
			all[k.Path] = override{text, k.Env}
		}
		if o.Flags == nil {
			continue
		}
		if f := o.Flags.Lookup(strings.TrimPrefix(k.Flag, "--")); f != nil && f.Changed {
			all[k.Path] = override{f.Value.String(), k.Flag}
		}
	}
	return all
}

func (o Overrides) env(name string) (string, bool) {
	if o.LookupEnv == nil {
		return "", false
	}
	text, ok := o.LookupEnv(name)
	return text, ok && text != ""
}

// nodeName is the name of the node when neither flag, variable nor file gives one, and where it came from.
func (o Overrides) nodeName() (name, origin string, err error) {
	if name, ok := o.env("NODE_NAME"); ok {
		return name, "NODE_NAME", nil
	}
	hostname := o.Hostname
	if hostname == nil {
		hostname = os.Hostname
	}
	name, err = hostname()
	return strings.ToLower(strings.TrimSpace(name)), "hostname", err // as the kubelet does
}

// flagName turns a path into a flag: bgp.routerID into --bgp-router-id.
func flagName(path string) string {
	var b strings.Builder
	b.WriteString("--")
	var last rune
	for _, r := range path {
		if unicode.IsUpper(r) && unicode.IsLower(last) {
			b.WriteByte('-')
		}
		last = r
		if r == '.' {
			r = '-'
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// envName turns a flag into a variable: --bgp-router-id into UNDERLAYD_BGP_ROUTER_ID.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
}
