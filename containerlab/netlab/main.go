// Command netlab makes labs of *.clab.yml files in plain network namespaces, without containers, and keeps them until
// they are taken down.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/underlayd/underlayd/containerlab"
)

const usage = `netlab makes labs of *.clab.yml files in plain network namespaces and keeps them.

  netlab up [-name NAME] [-source WRITTEN=PATH]... FILE   make a lab; -source reads a bind from elsewhere
  netlab list                                             the labs that are up, with process 1 of each node
  netlab exec [-lab NAME] NODE COMMAND [ARGUMENT]...      run a command in a node
  netlab down [NAME]...                                   end labs; without a name the only one

All of them take -state DIR, where labs are recorded (default ` + containerlab.DefaultState + `). It needs root.
`

// exitUsage is the exit code for a command line that can't be understood.
const exitUsage = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	err := dispatch(ctx, args)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "netlab: %s\n\n%s", err, usage)
		return exitUsage
	case errors.As(err, &exit) && exit.ExitCode() >= 0: // the command in the node has spoken for itself
		return exit.ExitCode()
	default:
		fmt.Fprintf(os.Stderr, "netlab: %s\n", err)
		return 1
	}
}

var errUsage = errors.New("usage")

func misused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return misused("which command?")
	}
	flags := flag.NewFlagSet("netlab "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	state := flags.String("state", containerlab.DefaultState, "")
	var do func() error
	switch args[0] {
	case "up":
		do = up(ctx, flags, state)
	case "list":
		do = func() error { return list(flags, *state) }
	case "exec":
		do = execute(ctx, flags, state)
	case "down":
		do = func() error { return down(flags, *state) }
	case "help", "-h", "-help", "--help":
		return flag.ErrHelp
	default:
		return misused("there is no command %q", args[0])
	}
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return misused("%s", err)
	}
	return do()
}

func up(ctx context.Context, flags *flag.FlagSet, state *string) func() error {
	name := flags.String("name", "", "")
	sources := map[string]string{}
	flags.Func("source", "", func(text string) error {
		written, path, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("must be WRITTEN=PATH")
		}
		sources[written] = path
		return nil
	})
	return func() error {
		if flags.NArg() != 1 {
			return misused("up takes one file")
		}
		topology, err := containerlab.Load(flags.Arg(0))
		if err != nil {
			return err
		}
		lab, err := topology.Up(ctx, containerlab.Options{Name: *name, Keep: true, State: *state, Sources: sources})
		if err != nil {
			return err
		}
		fmt.Printf("lab %s is up; logs are in %s\n", lab.Name(), lab.Folder())
		return nil
	}
}

func list(flags *flag.FlagSet, state string) error {
	if flags.NArg() != 0 {
		return misused("list takes no arguments")
	}
	labs, err := containerlab.List(state)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAB\tNODE\tPID\tTOPOLOGY")
	for _, lab := range labs {
		for _, node := range slices.Sorted(maps.Keys(lab.Nodes)) {
			pid := "gone"
			if lab.Nodes[node] != 0 {
				pid = fmt.Sprint(lab.Nodes[node])
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", lab.Name, node, pid, lab.Topology)
		}
	}
	return w.Flush()
}

func execute(ctx context.Context, flags *flag.FlagSet, state *string) func() error {
	name := flags.String("lab", "", "")
	return func() error {
		if flags.NArg() < 2 {
			return misused("exec takes a node and a command")
		}
		names, err := choose(*state, *name)
		if err != nil {
			return err
		}
		lab, err := containerlab.Attach(*state, names[0])
		if err != nil {
			return err
		}
		// Ctrl-C is the command's own: the terminal sends it there too.
		ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
		defer stop()
		c := lab.Node(flags.Arg(0)).Command(ctx, flags.Args()[1:]...)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		if term := os.Getenv("TERM"); term != "" {
			c.Env = append(c.Env, "TERM="+term)
		}
		return c.Run()
	}
}

func down(flags *flag.FlagSet, state string) error {
	names, err := choose(state, flags.Args()...)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		lab, err := containerlab.Attach(state, name)
		if err == nil {
			err = lab.Down()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// choose returns the given names, or that of the only lab if none is given.
func choose(state string, names ...string) ([]string, error) {
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	if len(names) > 0 {
		return names, nil
	}
	labs, err := containerlab.List(state)
	if err != nil {
		return nil, err
	}
	if len(labs) != 1 {
		return nil, fmt.Errorf("there are %d labs; say which one", len(labs))
	}
	return []string{labs[0].Name}, nil
}
