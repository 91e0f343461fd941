package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The list of what is in the programs, as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3). It comes from the programs
// themselves: what the linker left out of them is not in it, and nothing can be forgotten.

type sbom struct {
	Version       string            `json:"spdxVersion"`
	DataLicense   string            `json:"dataLicense"`
	ID            string            `json:"SPDXID"`
	Name          string            `json:"name"`
	Namespace     string            `json:"documentNamespace"`
	CreationInfo  sbomCreation      `json:"creationInfo"`
	Packages      []sbomPackage     `json:"packages"`
	Relationships []sbomRelation    `json:"relationships"`
	known         map[string]string // SPDX ids by module and version
}

type sbomCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type sbomPackage struct {
	ID               string         `json:"SPDXID"`
	Name             string         `json:"name"`
	Version          string         `json:"versionInfo,omitempty"`
	FileName         string         `json:"packageFileName,omitempty"`
	Purpose          string         `json:"primaryPackagePurpose"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	LicenseConcluded string         `json:"licenseConcluded"`
	LicenseDeclared  string         `json:"licenseDeclared"`
	Copyright        string         `json:"copyrightText"`
	SourceInfo       string         `json:"sourceInfo,omitempty"`
	Checksums        []sbomChecksum `json:"checksums,omitempty"`
	Refs             []sbomRef      `json:"externalRefs,omitempty"`
}

type sbomChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type sbomRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type sbomRelation struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	unsaid    = "NOASSERTION"
	itself    = "SPDXRef-DOCUMENT"
	imageID   = "SPDXRef-Image"
	own       = "github.com/underlayd/underlayd"
	sbomPlace = "usr/share/underlayd/sbom.spdx.json"
)

// describe lists what is in the programs of the image.
func (i image) describe(programs []file) ([]byte, error) {
	s := sbom{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: itself, Name: "underlayd-" + i.version + "-linux-" + i.arch,
		CreationInfo: sbomCreation{i.created.Format(time.RFC3339), []string{"Tool: underlayd-image"}},
		known:        map[string]string{},
	}
	top := sbomPackage{ID: imageID, Name: "underlayd", Version: i.version, Purpose: "CONTAINER", DownloadLocation: unsaid, LicenseDeclared: "Apache-2.0"}
	s.add(top)
	s.relate(itself, "DESCRIBES", imageID)
	for _, p := range programs {
		if err := s.program(p, i.version); err != nil {
			return nil, fmt.Errorf("%s: %w", p.source, err)
		}
	}
	text, err := json.Marshal(s.Packages)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	s.Namespace = "https://" + own + "/sbom/" + s.Name + "-" + hex.EncodeToString(sum[:16])
	text, err = json.MarshalIndent(s, "", " ")
	return append(text, '\n'), err
}

func (s *sbom) relate(element, how, related string) {
	s.Relationships = append(s.Relationships, sbomRelation{element, how, related})
}

func (s *sbom) add(p sbomPackage) {
	p.LicenseConcluded, p.Copyright = unsaid, unsaid
	if p.LicenseDeclared == "" {
		p.LicenseDeclared = unsaid
	}
	s.Packages = append(s.Packages, p)
}

// program adds one, and the modules it is made of.
func (s *sbom) program(p file, version string) error {
	text, err := os.ReadFile(p.source)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(p.source)
	if err != nil {
		return err
	}
	if info.Main.Path == "" {
		return errors.New("it does not say of which module it is")
	}
	sum := sha256.Sum256(text)
	id := "SPDXRef-Program-" + path.Base(p.target)
	s.add(sbomPackage{
		ID: id, Name: path.Base(p.target), FileName: "/" + p.target, Purpose: "APPLICATION", DownloadLocation: unsaid,
		SourceInfo: "go build " + info.Path, Checksums: []sbomChecksum{{"SHA256", hex.EncodeToString(sum[:])}},
	})
	s.relate(imageID, "CONTAINS", id)
	modules := []*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}, &info.Main}
	modules = append(modules, info.Deps...)
	for _, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Path == own {
			m = &debug.Module{Path: own, Version: version}
		}
		s.relate(id, "DEPENDS_ON", s.module(m))
	}
	return nil
}

// module adds one, unless it is there, and returns its id.
func (s *sbom) module(m *debug.Module) string {
	key := m.Path + "@" + m.Version
	if id, ok := s.known[key]; ok {
		return id
	}
	id := "SPDXRef-Module-" + strings.Map(allowed, m.Path+"-"+m.Version)
	for slices.ContainsFunc(s.Packages, func(p sbomPackage) bool { return p.ID == id }) {
		id += "-"
	}
	s.known[key] = id
	p := sbomPackage{
		ID: id, Name: m.Path, Version: m.Version, Purpose: "LIBRARY", DownloadLocation: "https://proxy.golang.org/" + escaped(m.Path) + "/@v/" + escaped(m.Version) + ".zip",
		Refs: []sbomRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}},
	}
	switch {
	case m.Path == own:
		p.DownloadLocation, p.LicenseDeclared = "git+https://"+own, "Apache-2.0"
	case m.Path == "stdlib":
		p.DownloadLocation = "https://go.dev/dl/go" + m.Version + ".src.tar.gz"
	case m.Sum != "":
		p.SourceInfo = "go.sum: " + m.Sum
	}
	s.add(p)
	return id
}

// allowed keeps what an SPDX id may have in it.
func allowed(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
		return r
	}
	return '-'
}

// escaped is how the module proxy writes capitals.
func escaped(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
