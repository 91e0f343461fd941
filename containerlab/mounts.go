package containerlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// scratch holds the upper layers of the private folders until the node's own /run covers it.
const scratch = "/run"

// privateFolders are those a node may write to without the machine or other nodes seeing it. The rest of the file
// tree, /tmp included, is the machine's.
func privateFolders() []string { return []string{"/etc", "/usr/local", "/var"} }

// sharedFolders may not become private to make room for a bind: they are other file systems or meant to be shared.
func sharedFolders() []string { return []string{"/dev", "/proc", "/sys", "/tmp", "/usr"} }

// openBind is a bind whose source has been opened on the machine, to be attached in the node.
type openBind struct {
	Bind
	tree   int // a detached copy of the mount
	folder bool
}

// openBinds opens the sources before the node's own mounts can hide them.
func openBinds(binds []Bind, replaced map[string]string) ([]openBind, error) {
	var open []openBind
	for _, b := range binds {
		if r, ok := replaced[b.Written]; ok {
			b.Source = r
		}
		info, err := os.Stat(b.Source)
		if err != nil {
			return open, fmt.Errorf("bind %s: %w", b.Target, err)
		}
		tree, err := unix.OpenTree(unix.AT_FDCWD, b.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return open, fmt.Errorf("bind %s: open %s: %w", b.Target, b.Source, err)
		}
		open = append(open, openBind{Bind: b, tree: tree, folder: info.IsDir()})
	}
	return open, nil
}

func closeBinds(binds []openBind) {
	for _, b := range binds {
		_ = unix.Close(b.tree)
	}
}

// view is what arrange makes of the machine's file tree.
type view struct {
	hostName string
	binds    []openBind
	image    starter
	hidden   []string // mount points of the machine that the node's /run covers
}

// arrange gives the node its own view of the file tree. It runs inside the node.
func (v *view) arrange() error {
	if err := unix.Sethostname([]byte(v.hostName)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	// Hidden only, they would stay alive here after others deleted them: named network namespaces, for one.
	for _, m := range v.hidden {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	if err := mountTmpfs(scratch); err != nil {
		return err
	}
	folders, err := v.overlays()
	if err != nil {
		return err
	}
	for _, f := range folders {
		if err := mountOverlay(f); err != nil {
			return err
		}
	}
	for _, f := range append([]string{"/run"}, v.image.empty...) {
		if err := mountTmpfs(f); err != nil {
			return err
		}
	}
	for _, f := range v.image.owned {
		if err := f.make(); err != nil {
			return err
		}
	}
	for _, b := range v.binds {
		if err := b.attach(); err != nil {
			return fmt.Errorf("bind %s: %w", b.Target, err)
		}
	}
	return nil
}

// overlays lists the folders to make private: the usual ones, and those in which a bind needs a target made.
func (v *view) overlays() ([]string, error) {
	folders := privateFolders()
	for _, b := range v.binds {
		top, missing := missingBelow(b.Target)
		if !missing || isPrivate(b.Target) || slices.Contains(folders, top) {
			continue
		}
		if slices.Contains(sharedFolders(), top) || !isFolder(top) {
			return nil, fmt.Errorf("bind %s: the target does not exist on this machine and can't be made in %s", b.Target, top)
		}
		folders = append(folders, top)
	}
	return folders, nil
}

// mountsBelow lists what is mounted below path in the mount namespace of a process, the innermost first.
func mountsBelow(pid int, path string) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, fmt.Errorf("mounts: %w", err)
	}
	var below []string
	for line := range strings.Lines(string(text)) {
		const mountPoint = 4
		if f := strings.Fields(line); len(f) > mountPoint && strings.HasPrefix(f[mountPoint], path+"/") {
			below = append(below, f[mountPoint])
		}
	}
	slices.Reverse(below)
	return below, nil
}

// missingBelow says whether path does not exist, and the top-level folder it would be in.
func missingBelow(path string) (top string, missing bool) {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	_, err := os.Lstat(path)
	return "/" + first, err != nil
}

func isPrivate(path string) bool {
	return slices.ContainsFunc(append(privateFolders(), "/run"), func(f string) bool { return strings.HasPrefix(path, f+"/") })
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// mountTmpfs mounts an empty folder at path, which is made if need be.
func mountTmpfs(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return nil
}

// mountOverlay makes path writable for the node alone: what is there stays to be seen, changes stay in the node.
func mountOverlay(path string) error {
	if !isFolder(path) {
		return nil
	}
	layer := filepath.Join(scratch, strings.ReplaceAll(path, "/", "_"))
	upper, work := layer+"/upper", layer+"/work"
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return fmt.Errorf("overlay %s: %w", path, err)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", path, upper, work)
	if err := unix.Mount("overlay", path, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay %s: %w", path, err)
	}
	return nil
}

func (b openBind) attach() error {
	if err := b.makeTarget(); err != nil {
		return err
	}
	if err := unix.MoveMount(b.tree, "", unix.AT_FDCWD, b.Target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Mount("", b.Target, "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make private: %w", err)
	}
	if !b.ReadOnly {
		return nil
	}
	if err := unix.Mount("", b.Target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make read-only: %w", err)
	}
	return nil
}

// makeTarget makes what the bind is mounted on.
func (b openBind) makeTarget() error {
	if _, err := os.Stat(b.Target); err == nil {
		return nil
	}
	if b.folder {
		return os.MkdirAll(b.Target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(b.Target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(b.Target, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
