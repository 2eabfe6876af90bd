package server

import (
	"slices"
	"strconv"
	"strings"
)

// DiscoveryPaths are where SDKs are usually served. Source: spec/02 §7.
func DiscoveryPaths() []string {
	return []string{"/api/inngest", "/x/inngest", "/.netlify/functions/inngest", "/.redwood/functions/inngest"}
}

// DiscoveryPorts are where apps usually listen on a developer's machine, and
// extra, which may be 0. Source: spec/02 §7.
func DiscoveryPorts(extra int) []int {
	ports := []int{80, 443}
	for p := 3000; p <= 3010; p++ {
		ports = append(ports, p)
	}
	ports = append(ports, 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888)
	for p := 8910; p <= 8915; p++ {
		ports = append(ports, p)
	}
	if extra > 0 && !slices.Contains(ports, extra) {
		ports = append(ports, extra)
	}
	return ports
}

// portsText writes ports for people, runs of them as a range.
func portsText(ports []int) string {
	var parts []string
	for i := 0; i < len(ports); {
		j := i
		for j+1 < len(ports) && ports[j+1] == ports[j]+1 {
			j++
		}
		text := strconv.Itoa(ports[i])
		if j > i+1 {
			text += "–" + strconv.Itoa(ports[j])
		} else {
			j = i
		}
		parts = append(parts, text)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
