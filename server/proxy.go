package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the addresses of reverse proxies in front of the server, which say in
// X-Forwarded-For for whom they ask. Nobody else is believed.
type Proxies []netip.Prefix

// ParseProxies reads addresses, as 10.0.0.7, and networks, as 10.0.0.0/8.
func ParseProxies(list []string) (Proxies, error) {
	var ps Proxies
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if a, bad := netip.ParseAddr(text); bad == nil {
			p, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no address, as 10.0.0.7, and no network, as 10.0.0.0/8", text)
		}
		ps = append(ps, p.Masked())
	}
	return ps, nil
}

func (ps Proxies) has(a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// mostProxies is how many addresses of X-Forwarded-For are looked at.
const mostProxies = 20

// from returns r as from the client for whom proxies ask: the last address that is none
// of theirs. What stands before that, the client may have made up.
func (ps Proxies) from(r *http.Request) *http.Request {
	if len(ps) == 0 {
		return r
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !ps.has(peer.Addr().Unmap()) {
		return r
	}
	client := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= max(0, len(hops)-mostProxies); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // a proxy that says nothing more is where the request comes from
		}
		if client = hop.Unmap().WithZone(""); !ps.has(client) {
			break
		}
	}
	same := *r // what else belongs to it stays shared
	same.RemoteAddr = netip.AddrPortFrom(client, 0).String()
	return &same
}
