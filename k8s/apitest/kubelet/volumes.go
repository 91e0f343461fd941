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
func (k *Kubelet) volumes(ctx context.Context, object *corev1.Pod, p *pod) error {
	sources := map[string]*corev1.Volume{}
	for i := range object.Spec.Volumes {
		sources[object.Spec.Volumes[i].Name] = &object.Spec.Volumes[i]
	}
	for _, mount := range object.Spec.Containers[0].VolumeMounts {
		volume := sources[mount.Name]
		if volume == nil {
			return fmt.Errorf("there is no volume %s", mount.Name)
		}
		if err := k.volume(ctx, object, volume, mount.MountPath, p); err != nil {
			return fmt.Errorf("volume %s: %w", mount.Name, err)
		}
	}
	return nil
}

func (k *Kubelet) volume(ctx context.Context, object *corev1.Pod, volume *corev1.Volume, path string, p *pod) error {
	folder := k.inNode(path)
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
		return k.configMap(ctx, object.Namespace, volume.ConfigMap.Name, nil, folder)
	case volume.Projected != nil:
		for i := range volume.Projected.Sources {
			if err := k.project(ctx, object, &volume.Projected.Sources[i], folder, p); err != nil {
				return err
			}
		}
		return nil
	default:
		return errors.New("it is of a kind that is not known here")
	}
}

func (k *Kubelet) configMap(ctx context.Context, namespace, name string, items []corev1.KeyToPath, folder string) error {
	found, err := k.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
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

func (k *Kubelet) project(ctx context.Context, object *corev1.Pod, source *corev1.VolumeProjection, folder string, p *pod) error {
	switch {
	case source.ServiceAccountToken != nil:
		if p.token == nil {
			token, err := k.request(ctx, object, source.ServiceAccountToken.ExpirationSeconds)
			if err != nil {
				return err
			}
			p.token = token
		}
		return write(filepath.Join(folder, source.ServiceAccountToken.Path), p.token, 0o400)
	case source.ConfigMap != nil:
		return k.configMap(ctx, object.Namespace, source.ConfigMap.Name, source.ConfigMap.Items, folder)
	case source.DownwardAPI != nil:
		for _, item := range source.DownwardAPI.Items {
			if item.FieldRef == nil || item.FieldRef.FieldPath != "metadata.namespace" {
				return fmt.Errorf("%s is of a kind that is not known here", item.Path)
			}
			if err := write(filepath.Join(folder, item.Path), []byte(object.Namespace), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// request obtains the Pod's token from the API.
func (k *Kubelet) request(ctx context.Context, object *corev1.Pod, seconds *int64) ([]byte, error) {
	token, err := k.client.CoreV1().ServiceAccounts(object.Namespace).CreateToken(ctx, object.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: object.Name, UID: object.UID},
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
