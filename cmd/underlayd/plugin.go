package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

const (
	pluginName  = "kubectl-underlayd" // what kubectl looks for in PATH
	pluginAtOne = 16                  // nodes that are asked at the same time
)

// plugin asks the daemons of all nodes of a cluster. One that does not answer leaves the answers of the others.
type plugin struct {
	access  k8s.Access
	port    int
	nodes   []string
	timeout time.Duration
}

// newProgram makes the commands: those of kubectl underlayd if that is what the program is called.
func newProgram(name string) *cobra.Command {
	if filepath.Base(name) == pluginName {
		return newPlugin()
	}
	return newRoot()
}

type pluginKey struct{}

// pluginOf returns the plugin that a command is part of, nil if it asks the daemon of this node.
func pluginOf(cmd *cobra.Command) *plugin {
	p, _ := cmd.Context().Value(pluginKey{}).(*plugin)
	return p
}

func newPlugin() *cobra.Command {
	p := &plugin{}
	root := bare(&cobra.Command{
		Use:   pluginName,
		Short: "Ask the underlayd of every node of a cluster",
		Long: `Ask the underlayd of every node of a cluster, or of those that --node names, as the commands of the same names do on a node.
As ` + pluginName + ` in PATH, a copy of underlayd or a link to it, it is kubectl underlayd.

The question goes through the API server's proxy of Pods, to the port that the daemons serve HTTP on: they need
http.lookingGlass, and you need the rights to list Pods in their namespace and to get pods/proxy.

A node that does not answer is said on standard error, and the exit code is 1; the answers of the others are written all the same.
status has a line for each node, and all of its status with -o wide. With -o json and -o yaml an answer is one list, an item a node.`,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl underlayd"},
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			cmd.SetContext(context.WithValue(cmd.Context(), pluginKey{}, p))
		},
	})
	flags := root.PersistentFlags()
	flags.StringVar(&p.access.Kubeconfig, "kubeconfig", "", "`file` with the access to the cluster (default $KUBECONFIG, or else ~/.kube/config)")
	flags.StringVar(&p.access.Context, "context", "", "`context` of that file (default the current one)")
	flags.StringVarP(&p.access.Namespace, "namespace", "n", "", "`namespace` of the daemons (default kube-system)")
	flags.StringVar(&p.access.Selector, "selector", "app.kubernetes.io/name=underlayd", "`labels` of their Pods, as kubectl get -l takes")
	flags.StringSliceVar(&p.nodes, "node", nil, "ask this `node` alone; may be given several times")
	flags.IntVar(&p.port, "port", 9179, "`port` of http.listen")
	flags.DurationVar(&p.timeout, "request-timeout", 15*time.Second, "how long a node may take")
	for _, command := range []*cobra.Command{newStatus(), newPeers(), newRoutes(), newExplain(), newHistory()} {
		_ = command.Flags().MarkHidden("socket") // each has it
		root.AddCommand(command)
	}
	root.AddCommand(newSchema(), newVersion())
	return root
}

// said is what one node answered.
type said struct {
	node    string
	answer  bytes.Buffer
	summary *status.NodeSummary
	err     error
}

// ask puts a question to the daemons, and writes what they say by node.
func (p *plugin) ask(cmd *cobra.Command, f question, o status.Options) error {
	answers, err := p.collect(cmd.Context(), func(ctx context.Context, a *said, c *status.Client) error { return f(ctx, &a.answer, c, o) })
	if err != nil {
		return err
	}
	return errors.Join(writeSaid(cmd, answers, o), failures(cmd, answers))
}

// summarize writes a line for each node, and what is wrong with it.
func (p *plugin) summarize(cmd *cobra.Command, o status.Options) error {
	answers, err := p.collect(cmd.Context(), func(ctx context.Context, a *said, c *status.Client) (err error) {
		a.summary, err = c.Summary(ctx)
		return err
	})
	if err != nil {
		return err
	}
	var nodes []*status.NodeSummary
	for i := range answers {
		if answers[i].err == nil {
			nodes = append(nodes, answers[i].summary)
		}
	}
	return errors.Join(status.WriteSummaries(cmd.OutOrStdout(), nodes, o), failures(cmd, answers))
}

// collect asks the chosen daemons, some at a time, and returns what each said.
func (p *plugin) collect(ctx context.Context, f func(context.Context, *said, *status.Client) error) ([]said, error) {
	agents, err := k8s.NewAgents(p.access, p.port)
	if err != nil {
		return nil, err
	}
	all, err := p.choose(ctx, agents)
	if err != nil {
		return nil, err
	}
	answers := make([]said, len(all))
	var group errgroup.Group
	group.SetLimit(pluginAtOne)
	for i, agent := range all {
		group.Go(func() error {
			a := &answers[i]
			a.node = agent.Node
			if agent.Phase != "Running" {
				a.err = fmt.Errorf("its Pod is %s", agent.Phase)
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, p.timeout)
			defer cancel()
			a.err = f(ctx, a, status.NewRemoteClient(agent.URL, agents.HTTP()))
			return nil
		})
	}
	return answers, group.Wait()
}

// choose returns the daemons that are to be asked. A node that is named and has none is an error.
func (p *plugin) choose(ctx context.Context, agents *k8s.Agents) ([]k8s.Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	all, err := agents.List(ctx)
	if err != nil || len(p.nodes) == 0 {
		return all, err
	}
	var chosen []k8s.Agent
	for _, node := range p.nodes {
		before := len(chosen)
		for _, a := range all {
			if a.Node == node {
				chosen = append(chosen, a)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("node %s has no Pod with the labels %s", node, p.access.Selector)
		}
	}
	return chosen, nil
}

// writeSaid writes the answers: for people under the name of each node, for programs as one list.
func writeSaid(cmd *cobra.Command, answers []said, o status.Options) error {
	if o.Format == status.JSON {
		return writeAnswers(cmd, answers)
	}
	first := true
	for i := range answers {
		a := &answers[i]
		if a.err != nil && a.answer.Len() == 0 {
			continue
		}
		if !first {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		first = false
		fmt.Fprintf(cmd.OutOrStdout(), "== %s\n%s", a.node, a.answer.Bytes())
	}
	return nil
}

// answerItem is one node's part of a list for programs.
type answerItem struct {
	Node   string          `json:"node"`
	Error  string          `json:"error,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"`
}

func writeAnswers(cmd *cobra.Command, answers []said) error {
	items := make([]answerItem, len(answers))
	for i := range answers {
		a := &answers[i]
		items[i].Node = a.node
		if a.err != nil {
			items[i].Error = a.err.Error()
			continue
		}
		items[i].Answer = bytes.TrimSpace(a.answer.Bytes())
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"apiVersion": status.APIVersion, "kind": "AnswerList", "items": items})
}

// failures says on standard error which nodes did not answer, and makes one error of it.
func failures(cmd *cobra.Command, answers []said) error {
	bad := slices.DeleteFunc(slices.Clone(answers), func(a said) bool { return a.err == nil })
	for i := range bad {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", bad[i].node, bad[i].err)
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d nodes did not answer", len(bad), len(answers))
}
