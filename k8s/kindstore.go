package k8s

import (
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// kindStore receives what the reflector learns, one call at a time. It holds what is about this
// Node and nothing of the others.
type kindStore struct {
	k   *kindWatch
	own map[string]shown
}

func (s *kindStore) Add(object any) error { return s.Update(object) }
func (s *kindStore) Resync() error        { return nil }

func (s *kindStore) Update(object any) error {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return errors.New("not an object of the kind that was asked for")
	}
	name := o.GetName()
	found, mine := s.k.show(o, s.k.n.name)
	if _, had := s.own[name]; !mine && !had {
		return nil
	}
	if delete(s.own, name); mine {
		s.own[name] = found
	}
	return s.tell()
}

func (s *kindStore) Delete(object any) error {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return errors.New("not an object of the kind that was asked for")
	}
	if _, had := s.own[o.GetName()]; !had {
		return nil
	}
	delete(s.own, o.GetName())
	return s.tell()
}

// Replace takes a whole list.
func (s *kindStore) Replace(objects []any, _ string) error {
	clear(s.own)
	for _, object := range objects {
		if o, ok := object.(*unstructured.Unstructured); ok {
			if found, mine := s.k.show(o, s.k.n.name); mine {
				s.own[o.GetName()] = found
			}
		}
	}
	return s.tell()
}

func (s *kindStore) tell() error {
	s.k.n.takeEvidence(s.k, s.k.evidence(s.own))
	return nil
}
