package apitest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	sigsyaml "sigs.k8s.io/yaml"
)

// Audit has the API server write down each request of the product's agents from now on, when it is answered, and a watch
// when it begins and again when it ends: a line of JSON each, of the kind audit.k8s.io/v1 Event, without bodies. It returns
// the file, which goes with the Server. The API server is started again for it.
func (s *Server) Audit(ctx context.Context) (string, error) {
	type object = map[string]any
	policy, err := sigsyaml.Marshal(object{
		"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": []string{"RequestReceived"},
		"rules": []object{
			{"level": "Metadata", "users": []string{"system:serviceaccount:" + agentNamespace + ":" + agentAccount}},
			{"level": "None"},
		},
	})
	if err != nil {
		return "", fmt.Errorf("audit policy: %w", err)
	}
	s.auditPolicy, s.auditLog = filepath.Join(s.scratch.dir, "audit.yaml"), filepath.Join(s.scratch.dir, "audit.log")
	if err := os.WriteFile(s.auditPolicy, policy, 0o600); err != nil {
		return "", fmt.Errorf("audit policy: %w", err)
	}
	s.Stop()
	return s.auditLog, s.Resume(ctx)
}
