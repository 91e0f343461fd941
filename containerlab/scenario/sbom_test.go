package scenario

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spdx is a document of SPDX 2.3, as far as its sections 6, 7 and 11 require it.
type spdx struct {
	SPDXVersion, DataLicense, SPDXID, Name, DocumentNamespace string
	CreationInfo                                              struct {
		Created  time.Time
		Creators []string
	}
	Packages []struct {
		SPDXID, Name, VersionInfo, DownloadLocation      string
		LicenseConcluded, LicenseDeclared, CopyrightText string
		PrimaryPackagePurpose, SourceInfo                string
		FilesAnalyzed                                    *bool
		Checksums                                        []struct{ Algorithm, ChecksumValue string }
		ExternalRefs                                     []struct{ ReferenceCategory, ReferenceType, ReferenceLocator string }
	}
	Relationships []struct{ SPDXElementID, RelationshipType, RelatedSPDXElement string }
}

// listed checks a list of what is in programs: that it has all that SPDX 2.3 requires, and every module that the programs
// say they are made of, with the version and the sum that they were built with.
func listed(t *testing.T, text []byte, programs map[string][]byte) {
	t.Helper()
	var list spdx
	require.NoError(t, json.Unmarshal(text, &list))
	require.Equal(t, "SPDX-2.3", list.SPDXVersion)                                          // 6.1
	require.Equal(t, "CC0-1.0", list.DataLicense)                                           // 6.2
	require.Equal(t, "SPDXRef-DOCUMENT", list.SPDXID)                                       // 6.3
	require.NotEmpty(t, list.Name)                                                          // 6.4
	require.Regexp(t, `^https://[^#]+-[0-9a-f]{32}$`, list.DocumentNamespace)               // 6.5
	require.Regexp(t, `^(Tool|Organization|Person): `, list.CreationInfo.Creators[0])       // 6.8
	require.Equal(t, int64(1700000000), list.CreationInfo.Created.Unix(), "it is the same") // 6.9
	require.Contains(t, string(text), `"created": "2023-11-14T22:13:20Z"`)
	id := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	where := regexp.MustCompile(`^(NOASSERTION|NONE|(git\+)?https://\S+)$`)
	names, sums := map[string]string{"SPDXRef-DOCUMENT": ""}, map[string]string{}
	for _, p := range list.Packages {
		require.Regexp(t, id, p.SPDXID) // 7.2
		require.NotContains(t, names, p.SPDXID)
		require.NotEmpty(t, p.Name)                  // 7.1
		require.Regexp(t, where, p.DownloadLocation) // 7.7
		require.False(t, *p.FilesAnalyzed, p.Name)   // 7.8: or files would have to be listed
		require.NotEmpty(t, p.LicenseConcluded+p.LicenseDeclared+p.CopyrightText)
		for _, r := range p.ExternalRefs { // 7.21
			require.Equal(t, []string{"PACKAGE-MANAGER", "purl"}, []string{r.ReferenceCategory, r.ReferenceType})
			require.Equal(t, "pkg:golang/"+p.Name+"@"+p.VersionInfo, r.ReferenceLocator)
		}
		names[p.SPDXID] = p.Name + "@" + p.VersionInfo
		sums[names[p.SPDXID]] = p.SourceInfo
		if text, ok := programs[p.Name]; ok && p.PrimaryPackagePurpose == "APPLICATION" { // 7.10
			require.Equal(t, "SHA256", p.Checksums[0].Algorithm)
			require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(text)), p.Checksums[0].ChecksumValue)
		}
	}
	depends := map[string]map[string]bool{}
	described := 0
	for _, r := range list.Relationships { // 11.1
		require.Contains(t, names, r.SPDXElementID)
		require.Contains(t, names, r.RelatedSPDXElement)
		switch r.RelationshipType {
		case "DESCRIBES":
			described++
		case "DEPENDS_ON":
			if depends[names[r.SPDXElementID]] == nil {
				depends[names[r.SPDXElementID]] = map[string]bool{}
			}
			depends[names[r.SPDXElementID]][names[r.RelatedSPDXElement]] = true
		default:
			require.Equal(t, "CONTAINS", r.RelationshipType)
		}
	}
	require.Equal(t, 1, described)
	for program, text := range programs {
		info, err := buildinfo.Read(bytes.NewReader(text))
		require.NoError(t, err)
		require.NotEmpty(t, info.Deps)
		require.Len(t, depends[program+"@"], len(info.Deps)+2, "with its own module and Go's library")
		for _, m := range info.Deps {
			require.True(t, depends[program+"@"][m.Path+"@"+m.Version], "%s has %s", program, m.Path)
			if m.Sum != "" {
				require.Equal(t, "go.sum: "+m.Sum, sums[m.Path+"@"+m.Version])
			}
		}
	}
}
