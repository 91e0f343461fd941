package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/bfd"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/bgp/neighbor"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

const defaultConfig = "/etc/underlayd/config.yaml"

func newRun() *cobra.Command {
	var file, profile string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run the daemon until SIGTERM. Routes stay in the kernel when it ends, and peers that agreed to graceful
restart keep ours: stopping is how a restart or an upgrade begins. SIGHUP reads the configuration again; so
does a change of the file.

It needs CAP_NET_ADMIN, CAP_NET_BIND_SERVICE for a port below 1024, and CAP_NET_RAW to find unnumbered peers; every other privilege it is started with is
given up before the first packet, and it leaves no core file.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			overrides := config.FromProcess(cmd.Flags())
			cfg, text, err := config.LoadText(file, overrides)
			if err != nil {
				return err
			}
			finder := neighbor.Open() // takes a privilege that is about to be given up
			holder := bgp.PortHolder(cfg.BGP.Port)
			has, err := confineDaemon(cfg.BGP.Port)
			if err != nil {
				return fmt.Errorf("privileges: %w", err)
			}
			if err := readable(file); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			stop, err := profileCPU(profile)
			if err != nil {
				return err
			}
			defer stop()
			var log *logrus.Logger
			queue := newLogQueue(cmd.ErrOrStderr(), func(lines uint64) {
				log.WithField("lines", lines).Warn("the log was not taken fast enough; lines were dropped")
			})
			defer queue.Close()
			log = newLog(queue, config.Log{Level: cfg.Log.Level, Format: logFormat(cmd.ErrOrStderr(), cfg.Log.Format)})
			defer guardStorms(log)()
			log.WithField("capabilities", has).Info("all other privileges are given up")
			watcher := config.NewWatcher(config.WatcherConfig{Path: file, Overrides: overrides, Current: cfg, Text: text, Log: log})
			return run(cmd.Context(), cfg, outside{watcher, finder, holder}, log)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `file`")
	cmd.Flags().StringVar(&profile, "cpu-profile", "", "write a CPU profile of the whole run to `file`, for developers")
	config.BindFlags(cmd.Flags())
	return cmd
}

// profileCPU profiles until the returned function is called, which completes the file; an empty name does nothing.
func profileCPU(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU profile: %w", err), f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

func newLog(out io.Writer, c config.Log) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(out)
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.RFC3339Nano})
	if logFormat(out, c.Format) == "json" {
		log.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	}
	setLevel(log, c.Level)
	return log
}

// logFormat is how is logged to out: text for somebody at a terminal, JSON for programs.
func logFormat(out io.Writer, configured string) string {
	switch {
	case configured != "auto":
		return configured
	case onTerminal(out):
		return "text"
	default:
		return "json"
	}
}

func setLevel(log *logrus.Logger, level string) {
	if l, err := logrus.ParseLevel(level); err == nil { // validated by config
		log.SetLevel(l)
	}
}

// outside is what a run is told by.
type outside struct {
	config *config.Watcher
	links  *neighbor.Finder
	holder string // who listened on our port, when it could still be told
}

// run wires the parts together and keeps them until ctx is cancelled or one of them fails.
func run(ctx context.Context, cfg *config.Config, from outside, log *logrus.Logger) error {
	started := time.Now()
	syscall.Umask(0o077) // the sockets and the lock are root's alone
	lock, err := status.AcquireLock(cfg.Runtime.Directory, started)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	log.WithFields(logrus.Fields{
		"version": buildVersion(), "cluster": cfg.Cluster.Name, "node": cfg.Node.Name, "asn": cfg.BGP.ASN,
	}).Info("underlayd starts")

	a := &agent{
		log: log, started: started, updates: from.config.Updates(), watcher: from.config, board: &status.Board{}, memory: newMemory(),
		passwords: newPasswords(log), finder: from.links, holder: from.holder,
	}
	a.probing = newProbing(a.board, &a.basis, log)
	a.configure(cfg)
	if a.crashed, err = catchCrash(cfg.Runtime.Directory); err != nil {
		log.WithError(err).Warn("a crash would leave no report")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	if err := a.open(ctx, group); err != nil {
		cancel()
		return errors.Join(err, group.Wait())
	}
	defer func() { _ = a.kernel.Close() }()
	defer a.exemption.close()
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return a.reporter.Run(ctx) })
	group.Go(func() error { return from.config.Run(ctx) })
	group.Go(func() error { return from.links.Run(ctx) })
	group.Go(func() error { return a.passwords.Run(ctx) })
	group.Go(func() error { return a.probing.key.Run(ctx) })
	group.Go(func() error { return a.probing.monitor.Run(ctx) })
	group.Go(func() error {
		return onHangup(ctx, func() {
			from.config.Reload()
			a.peersFile.Reload()
		})
	})
	a.serve(ctx, group, cfg)
	err = group.Wait()
	if err == nil {
		log.Info("underlayd ends; its routes stay")
	}
	return err
}

// serve answers questions: root's on the unix socket, and over TCP what everybody may ask.
func (a *agent) serve(ctx context.Context, group *errgroup.Group, cfg *config.Config) {
	more := append(status.ProcessMetrics(), a.speaker.Collector())
	answers := a.source()
	web := status.NewWeb(status.WebConfig{
		Listen: cfg.HTTP.Listen, LookingGlass: cfg.HTTP.LookingGlass, Fleet: cfg.HTTP.Fleet, Source: &answers, Log: a.log, Metrics: more,
	})
	answers.web = web
	group.Go(func() error { return web.Run(ctx) })
	group.Go(func() error { return status.Serve(ctx, status.SocketPath(cfg.Runtime.Directory), &answers, more...) })
}

// farewellTime is how long an orderly end may wait for BFD.
const farewellTime = time.Second

// speak keeps the speaker and, for a moment longer, BFD. The order matters: with its session still up, a peer may take the
// end of BFD for a failure and drop our routes, AdminDown or not; once the graceful restart has begun it may not, for our
// BFD has said that it ends with the daemon (RFC 5882, section 4.3.2).
func (a *agent) speak(ctx context.Context) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var watched errgroup.Group
	watched.Go(func() error { return a.bfd.Run(watching) })
	err := a.speaker.Run(ctx)
	limit, done := context.WithTimeout(watching, farewellTime)
	defer done()
	if err := a.bfd.AdminDown(limit); err != nil {
		a.log.WithError(err).Debug("BFD")
	}
	stop()
	return errors.Join(err, watched.Wait())
}

// open brings up the kernel table, the Kubernetes client and the speaker, in this order: routes found in the
// kernel decide whether this is a restart in the sense of RFC 4724.
func (a *agent) open(ctx context.Context, group *errgroup.Group) error {
	var err error
	a.kernel, err = fib.Open(kernelConfig(a.config, a.log))
	if err != nil {
		return err
	}
	a.adopted, err = a.kernel.Adopt(ctx)
	if err != nil {
		return err
	}
	group.Go(func() error { return a.kernel.Run(ctx) })
	a.exemption = openExemption(a.config, a.log)
	group.Go(func() error { return a.exemption.Run(ctx) })
	a.host = newHostChecks(a.kernel, a.config, a.log)
	a.host.drops = a.exemption.drops
	group.Go(func() error { return a.host.Run(ctx) })
	a.recall()
	if err := a.connect(); err != nil {
		return err
	}
	if a.node != nil {
		group.Go(func() error { return a.node.Run(ctx) })
	}
	if a.secrets != nil {
		group.Go(func() error { return a.secrets.Run(ctx) })
	}
	a.beginWithNode(ctx)
	if a.members != nil {
		group.Go(func() error { return a.members.Run(ctx) })
	}
	group.Go(func() error { return a.peersFile.Run(ctx) })
	group.Go(func() error { return a.peering.Run(ctx) })
	a.bfd = bfd.New()
	a.reporter = &reporter{board: a.board, node: a.node, wake: make(chan struct{}, 1)}
	if err := a.prepare(); err != nil {
		return err
	}
	a.speaker, err = bgp.Start(ctx, speakerConfig(a.config, a.routerID, a.adopted > 0, a.log))
	if err != nil {
		return portTaken(err, a.holder)
	}
	group.Go(func() error { return a.speak(ctx) })
	return nil
}

// onHangup calls reload at each SIGHUP.
func onHangup(ctx context.Context, reload func()) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			reload()
		}
	}
}

func gobgpSocket(directory string) string { return filepath.Join(directory, "gobgp.sock") }
