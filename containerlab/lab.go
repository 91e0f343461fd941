package containerlab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
)

// Options are what a lab may be told beyond its file. The zero value is a lab that ends with this process.
type Options struct {
	// Name replaces the topology's name.
	Name string
	// Keep makes the lab outlive this process, until Down of a lab returned by Attach, or `netlab down`.
	Keep bool
	// State is the folder in which kept labs are recorded; empty: DefaultState. Without Keep it is not used.
	State string
	// Sources replaces sources of binds, by the text that stands in the file: a test gives a node another
	// binary or a configuration that it means to change.
	Sources map[string]string
	// Env is given to every program of every node; what the file says wins.
	Env map[string]string
	// Manual names the nodes whose programs are left to Node.Launch or Node.Start; their exec lines are run.
	Manual []string
	// Log hears of each step, at debug level; nil: nobody does.
	Log logrus.FieldLogger
}

// Lab is a running topology. Its methods may be called from any goroutine.
type Lab struct {
	name    string
	folder  string
	env     map[string]string
	nodes   []*Node // by name
	log     logrus.FieldLogger
	janitor *janitor // removes folder, whatever happens to this process; nil when the lab is kept

	mu   sync.Mutex // guards down
	down bool
}

// Up makes a lab of the topology and returns when exec lines have run and daemons known to this package are ready.
// If anything fails or ctx ends before that, nothing is left of it. Afterwards ctx has no influence: Down ends the
// lab, and so does the end of this process, SIGKILL included, unless it is kept.
func (t *Topology) Up(ctx context.Context, o Options) (*Lab, error) {
	lab, err := t.newLab(o)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", firstOf(o.Name, t.Name), err)
	}
	err = lab.build(ctx, t, o)
	if err == nil && o.Keep {
		err = lab.keep(ctx, t)
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", lab.name, errors.Join(err, lab.Down()))
	}
	return lab, nil
}

func (t *Topology) newLab(o Options) (*Lab, error) {
	lab := &Lab{name: firstOf(o.Name, t.Name), env: o.Env, log: o.Log}
	if lab.log == nil {
		lab.log = silence()
	}
	if !labName.MatchString(lab.name) {
		return nil, errors.New("the name must be letters, digits, dots, dashes and underscores, at most 63")
	}
	for _, name := range o.Manual {
		if !slices.ContainsFunc(t.Nodes, func(n NodeSpec) bool { return n.Name == name }) {
			return nil, fmt.Errorf("there is no node %s to be left alone", name)
		}
	}
	if err := unusedSources(t, o.Sources); err != nil {
		return nil, err
	}
	lab.folder = filepath.Join(os.TempDir(), "lab-"+lab.name+"-"+rand.Text())
	var err error
	if o.Keep {
		if lab.folder, err = keptFolder(firstOf(o.State, DefaultState), lab.name); err != nil {
			return nil, err
		}
	}
	if lab.janitor, err = startJanitor(lab.folder); err != nil {
		return nil, err
	}
	for _, spec := range t.Nodes {
		lab.nodes = append(lab.nodes, lab.newNode(spec))
	}
	return lab, nil
}

func silence() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// unusedSources refuses replacements that would replace nothing: the file has changed, or a letter is wrong.
func unusedSources(t *Topology, sources map[string]string) error {
	var errs []error
	for written := range sources {
		uses := func(n NodeSpec) bool {
			return slices.ContainsFunc(n.Binds, func(b Bind) bool { return b.Written == written })
		}
		if !slices.ContainsFunc(t.Nodes, uses) {
			errs = append(errs, fmt.Errorf("no bind has the source %q", written))
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) newNode(spec NodeSpec) *Node {
	return &Node{
		lab:       l,
		spec:      spec,
		logs:      filepath.Join(l.folder, spec.Name),
		way:       entrance{pidfd: -1},
		processes: map[string]*Process{},
	}
}

// build makes nodes, then links, then runs what the nodes run: a host's interfaces are there before its daemons.
func (l *Lab) build(ctx context.Context, t *Topology, o Options) error {
	err := l.each(ctx, func(ctx context.Context, n *Node) error {
		l.log.WithField("node", n.Name()).Debug("making node")
		if err := n.make(ctx, o.Sources); err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, link := range t.Links {
		l.log.WithField("link", link.A.String()+" "+link.B.String()).Debug("making link")
		if err := l.connect(link); err != nil {
			return fmt.Errorf("link %s %s: %w", link.A, link.B, err)
		}
	}
	return l.each(ctx, func(ctx context.Context, n *Node) error {
		l.log.WithField("node", n.Name()).Debug("configuring node")
		return n.configure(ctx, !slices.Contains(o.Manual, n.Name()))
	})
}

// each does something to all nodes at once; the errors name the nodes.
func (l *Lab) each(ctx context.Context, f func(context.Context, *Node) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range l.nodes {
		group.Go(func() error { return f(ctx, n) })
	}
	return group.Wait()
}

func (l *Lab) connect(link Link) error {
	a, b := l.Node(link.A.Node), l.Node(link.B.Node)
	if err := makeLink(link, a, b); err != nil {
		return err
	}
	return errors.Join(
		a.Do(func() error { return raise(&a.spec, link.A.Interface) }),
		b.Do(func() error { return raise(&b.spec, link.B.Interface) }),
	)
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.name }

// Folder holds the nodes' logs, as node/process.log; it goes when the lab goes.
func (l *Lab) Folder() string { return l.folder }

// Nodes returns all nodes by name.
func (l *Lab) Nodes() []*Node { return slices.Clone(l.nodes) }

// Node returns the node of that name. There always is one: if the lab has none, every operation on it fails saying so.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.nodes {
		if n.Name() == name {
			return n
		}
	}
	n := l.newNode(NodeSpec{Name: name})
	n.err = fmt.Errorf("lab %s has no node %s", l.name, name)
	return n
}

// WriteLogs copies the logs of all nodes to w, each under its name: for a test that failed.
func (l *Lab) WriteLogs(w io.Writer) error {
	paths, err := filepath.Glob(filepath.Join(l.folder, "*", "*.log"))
	if err != nil {
		return fmt.Errorf("lab %s: logs: %w", l.name, err)
	}
	var errs []error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil && len(text) > 0 {
			name, _ := filepath.Rel(l.folder, path)
			_, err = fmt.Fprintf(w, "==> %s\n%s\n", name, text)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Down ends all nodes and removes the lab's folder. A second call does nothing, also when the first one failed.
func (l *Lab) Down() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil
	}
	l.down = true
	l.log.Debug("ending the lab")
	err := l.each(context.Background(), func(_ context.Context, n *Node) error { return n.Kill() })
	if l.janitor != nil {
		return errors.Join(err, l.janitor.finish())
	}
	return errors.Join(err, os.RemoveAll(l.folder))
}
