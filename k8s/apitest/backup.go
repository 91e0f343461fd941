package apitest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Backup keeps a copy of all that the API holds now, for Restore. Both servers are
// ended as a crash would and started again.
func (s *Server) Backup(ctx context.Context) error {
	return s.offline(ctx, func(data, copied string) error {
		if err := os.RemoveAll(copied); err != nil {
			return err
		}
		return os.CopyFS(copied, os.DirFS(data))
	})
}

// Restore brings the API back to what the last Backup kept, as an administrator does
// after a disaster: objects and their resource versions go back in time.
func (s *Server) Restore(ctx context.Context) error {
	return s.offline(ctx, func(data, copied string) error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return os.CopyFS(data, os.DirFS(copied))
	})
}

// offline does something to etcd's data while nobody uses it.
func (s *Server) offline(ctx context.Context, do func(data, copied string) error) error {
	s.Stop()
	s.etcd.kill()
	if err := do(filepath.Join(s.scratch.dir, "etcd"), filepath.Join(s.scratch.dir, "backup")); err != nil {
		return fmt.Errorf("etcd data: %w", err)
	}
	if err := s.startEtcd(ctx); err != nil {
		return err
	}
	return s.Resume(ctx)
}
