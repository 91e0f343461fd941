package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumes writes what a Pod mounts where its container finds it. What is followed,
// such as a ConfigMap, is written again when it has changed.
func (p *pod) volumes(ctx context.Context) error {
	sources := map[string]*corev1.Volume{}
	for i := range p.object.Spec.Volumes {
		sources[p.object.Spec.Volumes[i].Name] = &p.object.Spec.Volumes[i]
	}
	for _, mount := range p.object.Spec.Containers[0].VolumeMounts {
		volume := sources[mount.Name]
		if volume == nil {
			return fmt.Errorf("there is no volume %s", mount.Name)
		}
		if err := p.volume(ctx, volume, mount.MountPath); err != nil {
			return fmt.Errorf("volume %s: %w", mount.Name, err)
		}
	}
	return nil
}

func (p *pod) volume(ctx context.Context, volume *corev1.Volume, path string) error {
	folder := p.kubelet.inNode(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	switch {
	case volume.HostPath != nil:
		if volume.HostPath.Path != path {
			return errors.New("a path of the host can't be mounted elsewhere")
		}
		return nil
	case volume.ConfigMap != nil:
		return p.configMap(ctx, volume.ConfigMap.Name, nil, folder)
	case volume.Projected != nil:
		for i := range volume.Projected.Sources {
			if err := p.project(ctx, &volume.Projected.Sources[i], folder); err != nil {
				return err
			}
		}
		return nil
	default:
		return errors.New("it is of a kind that is not known here")
	}
}

func (p *pod) configMap(ctx context.Context, name string, items []corev1.KeyToPath, folder string) error {
	found, err := p.kubelet.client.CoreV1().ConfigMaps(p.object.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	files := map[string]string{}
	for key := range found.Data {
		files[key] = key
	}
	if items != nil {
		files = map[string]string{}
		for _, item := range items {
			files[item.Key] = item.Path
		}
	}
	for key, path := range files {
		if err := write(filepath.Join(folder, path), []byte(found.Data[key]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (p *pod) project(ctx context.Context, source *corev1.VolumeProjection, folder string) error {
	switch {
	case source.ServiceAccountToken != nil:
		if p.token == nil {
			token, err := p.request(ctx, source.ServiceAccountToken.ExpirationSeconds)
			if err != nil {
				return err
			}
			p.token = token
		}
		return write(filepath.Join(folder, source.ServiceAccountToken.Path), p.token, 0o400)
	case source.ConfigMap != nil:
		return p.configMap(ctx, source.ConfigMap.Name, source.ConfigMap.Items, folder)
	case source.DownwardAPI != nil:
		for _, item := range source.DownwardAPI.Items {
			if item.FieldRef == nil || item.FieldRef.FieldPath != "metadata.namespace" {
				return fmt.Errorf("%s is of a kind that is not known here", item.Path)
			}
			if err := write(filepath.Join(folder, item.Path), []byte(p.object.Namespace), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// request obtains the Pod's token from the API.
func (p *pod) request(ctx context.Context, seconds *int64) ([]byte, error) {
	token, err := p.kubelet.client.CoreV1().ServiceAccounts(p.object.Namespace).CreateToken(ctx, p.object.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: p.object.Name, UID: p.object.UID},
		}}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return []byte(token.Status.Token), nil
}

// write replaces a file whose content is another one, at once, as a kubelet does.
func write(path string, text []byte, mode fs.FileMode) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.WriteFile(path+".new", text, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
