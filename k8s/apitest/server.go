package apitest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Server is one Kubernetes API: an etcd and a kube-apiserver on loopback with
// ports, data and credentials of their own. Its methods are for one goroutine at
// a time, as a test is.
type Server struct {
	programs    string // the folder of Build
	scratch     *scratch
	nursery     *nursery
	credentials *credentials
	etcdPort    int
	port        int
	etcd        *process
	apiserver   *process // nil while stopped
	controllers *process // nil while there are none
	auditPolicy string   // files; empty: no audit
	auditLog    string
	exposed     []*exposure
	admin       kubernetes.Interface
}

// Start builds Kubernetes if the cache has none, then starts etcd and the
// API server and returns when it answers and its own namespaces exist. The
// caller must Close it; should the process die first, everything is gone too.
func Start(ctx context.Context) (*Server, error) {
	programs, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("etcd"); err != nil {
		return nil, fmt.Errorf("%w (Debian: apt-get install etcd-server)", err)
	}
	s := &Server{programs: programs, nursery: newNursery()}
	if s.scratch, err = newScratch(); err != nil {
		s.nursery.close()
		return nil, err
	}
	if err := s.up(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) up(ctx context.Context) error {
	var err error
	if s.credentials, err = newCredentials(s.scratch.dir); err != nil {
		return err
	}
	// A port found free may be taken before it is used, hence the tries.
	for range 3 {
		if err = s.startEtcd(ctx); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	for range 3 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.Resume(ctx); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if s.admin, err = kubernetes.NewForConfig(s.Admin()); err != nil {
		return fmt.Errorf("admin client: %w", err)
	}
	return s.awaitNamespaces(ctx)
}

func (s *Server) startEtcd(ctx context.Context) error {
	client, err := freePort()
	if err != nil {
		return err
	}
	peer, err := freePort()
	if err != nil {
		return err
	}
	clientURL, peerURL := url("http", client), url("http", peer)
	s.etcdPort = client
	s.etcd, err = s.nursery.start(s.scratch.dir, "etcd", "etcd",
		"--data-dir="+filepath.Join(s.scratch.dir, "etcd"), "--name=default",
		"--listen-client-urls="+clientURL, "--advertise-client-urls="+clientURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL,
		"--initial-cluster=default="+peerURL, "--unsafe-no-fsync")
	if err != nil {
		return err
	}
	return s.await(ctx, s.etcd, clientURL+"/health", http.DefaultClient)
}

// Resume starts the API server again after Stop, on the same port with the same
// data, and returns when it is ready. When it already runs it does nothing.
func (s *Server) Resume(ctx context.Context) error {
	if s.apiserver != nil && !s.apiserver.ended() {
		return nil
	}
	dir := s.scratch.dir
	p, err := s.nursery.start(dir, "kube-apiserver", filepath.Join(s.programs, "kube-apiserver"),
		"--etcd-servers="+url("http", s.etcdPort),
		"--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(s.port),
		// No route and no Service network is needed: the
		// address below is a documentation address (RFC 5737) nobody dials.
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.255.255.0/24",
		"--tls-cert-file="+filepath.Join(dir, "server.crt"),
		"--tls-private-key-file="+filepath.Join(dir, "server.key"),
		"--token-auth-file="+filepath.Join(dir, "tokens.csv"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+filepath.Join(dir, "sa.key"),
		"--service-account-signing-key-file="+filepath.Join(dir, "sa.key"),
		"--audit-policy-file="+s.auditPolicy, "--audit-log-path="+s.auditLog,
		"--profiling=false")
	if err != nil {
		return err
	}
	s.apiserver = p
	client, err := rest.HTTPClientFor(s.Admin())
	if err != nil {
		return fmt.Errorf("admin client: %w", err)
	}
	defer client.CloseIdleConnections()
	return s.await(ctx, p, url("https", s.port)+"/readyz", client)
}

// await waits for a 200 from the process's health address.
func (s *Server) await(ctx context.Context, p *process, address string, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	name := strings.TrimSuffix(filepath.Base(p.log), ".log")
	err := poll(ctx, func() (bool, error) {
		if p.ended() {
			return false, errors.New("process ended")
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false, err
		}
		response, err := client.Do(request)
		if err != nil {
			return false, nil //nolint:nilerr // not up yet: ask again
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		p.kill()
		return fmt.Errorf("%s did not become ready: %w\n%s", name, err, p.tail())
	}
	return nil
}

func (s *Server) awaitNamespaces(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		_, err := s.admin.CoreV1().Namespaces().Get(ctx, "kube-system", metav1.GetOptions{})
		return err == nil, nil
	})
}

// Stop ends the API server as a crash would: no request is finished, every
// connection breaks. etcd and its data stay. Stopping twice does nothing.
func (s *Server) Stop() {
	if s.apiserver != nil {
		s.apiserver.kill()
		s.apiserver = nil
	}
}

// Close ends everything and removes every file. It may be called once.
func (s *Server) Close() error {
	var errs []error
	for _, e := range s.exposed {
		errs = append(errs, e.close())
	}
	s.StopControllers()
	s.Stop()
	if s.etcd != nil {
		s.etcd.kill()
	}
	s.nursery.close()
	return errors.Join(append(errs, s.scratch.remove())...)
}

// Address returns the API server's host:port; it stays the same over outages.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Client returns an administrator's client.
func (s *Server) Client() kubernetes.Interface { return s.admin }

// Admin returns the configuration of an administrator (group system:masters).
// Each call returns a value of the caller's own.
func (s *Server) Admin() *rest.Config { return s.config(s.credentials.adminToken) }

func (s *Server) config(token string) *rest.Config {
	return &rest.Config{
		Host: url("https", s.port), BearerToken: token, QPS: 200, Burst: 400,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.credentials.ca},
		WarningHandler:  rest.NoWarnings{},
	}
}

func url(scheme string, port int) string { return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port) }

func freePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}
