package egress

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Setting is the name of the setting that sets Options.AllowPrivate.
const Setting = "allow-private-addresses"

// PrivateError means that a request would have gone to an address that is not
// on the public internet, where only services of the operator's own answer.
type PrivateError struct {
	Addr netip.Addr
	Kind string // what sort of address it is, as "a loopback address"
}

// Error says which address, why it is refused, and the setting that allows it.
func (e *PrivateError) Error() string {
	return fmt.Sprintf("%s is private (%s) and this server does not send requests of steps, nor alerts, to private addresses; "+
		"to allow it, start Pawl with --%s", e.Addr, e.Kind, Setting)
}

// block is a range of addresses that are not reached.
type block struct {
	netip.Prefix
	kind string
}

func blocked(prefix, kind string) block { return block{netip.MustParsePrefix(prefix), kind} }

// publicV6 is all that is handed out for the internet; what lies outside is
// refused, known or not.
var publicV6 = netip.MustParsePrefix("2000::/3")

// blocks are the addresses that are not reached. netip and net call several of
// them global unicast and not private, so neither is a guard. Those that carry
// an IPv4 address inside (mapped, NAT64, 6to4, Teredo) are refused whatever
// they carry: a route that takes them apart leads wherever the sender likes.
// Sources: IANA special-purpose registries for IPv4 and IPv6; the address of
// Azure's metadata service, which lies in public space.
var blocks = []block{
	blocked("0.0.0.0/8", "this network"),
	blocked("10.0.0.0/8", "a private network"),
	blocked("100.64.0.0/10", "carrier-grade NAT"),
	blocked("127.0.0.0/8", "a loopback address"),
	blocked("168.63.129.16/32", "a metadata service"),
	blocked("169.254.169.254/32", "a metadata service"),
	blocked("169.254.0.0/16", "a link-local address"),
	blocked("172.16.0.0/12", "a private network"),
	blocked("192.0.0.0/24", "a protocol assignment"),
	blocked("192.0.2.0/24", "a documentation address"),
	blocked("192.31.196.0/24", "an AS112 service"),
	blocked("192.52.193.0/24", "a multicast relay"),
	blocked("192.88.99.0/24", "a 6to4 relay"),
	blocked("192.168.0.0/16", "a private network"),
	blocked("192.175.48.0/24", "an AS112 service"),
	blocked("198.18.0.0/15", "a benchmark network"),
	blocked("198.51.100.0/24", "a documentation address"),
	blocked("203.0.113.0/24", "a documentation address"),
	blocked("224.0.0.0/4", "a multicast address"),
	blocked("240.0.0.0/4", "a reserved address"),

	blocked("::/128", "the unspecified address"),
	blocked("::1/128", "a loopback address"),
	blocked("::/96", "an IPv4-compatible address"),
	blocked("::ffff:0:0:0/96", "a translated IPv4 address"),
	blocked("64:ff9b::/96", "a NAT64 address"),
	blocked("64:ff9b:1::/48", "a NAT64 address"),
	blocked("100::/64", "a discard address"),
	blocked("2001::/32", "a Teredo address"),
	blocked("2001::/23", "a protocol assignment"),
	blocked("2001:db8::/32", "a documentation address"),
	blocked("2002::/16", "a 6to4 address"),
	blocked("2620:4f:8000::/48", "an AS112 service"),
	blocked("3fff::/20", "a documentation address"),
	blocked("5f00::/16", "a segment routing address"),
	blocked("fd00:ec2::254/128", "a metadata service"),
	blocked("fd20:ce::254/128", "a metadata service"),
	blocked("fc00::/7", "a private network"),
	blocked("fe80::/10", "a link-local address"),
	blocked("fec0::/10", "a site-local address"),
	blocked("ff00::/8", "a multicast address"),
}

// CheckAddr returns a *PrivateError when addr is not on the public internet.
func CheckAddr(addr netip.Addr) error {
	// A zone only says by which interface, and no prefix contains an address
	// with one.
	plain := addr.WithZone("").Unmap()
	for _, b := range blocks {
		if b.Contains(plain) {
			return &PrivateError{addr, b.kind}
		}
	}
	switch {
	case addr.Is4In6(): // net dials these as IPv4; who else does is unknown
		return &PrivateError{addr, "an IPv4-mapped address"}
	case !plain.Is4() && !publicV6.Contains(plain):
		return &PrivateError{addr, "outside of the public internet"}
	}
	return nil
}

// guard is a net.Dialer's Control: it sees the address that is about to be
// connected, after every name has been resolved, and so cannot be told one
// address and shown another.
func guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &PrivateError{Kind: "not an IP address"}
	}
	return CheckAddr(to.Addr())
}
