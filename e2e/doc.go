// Package e2e drives the built pawl binary with the real SDKs, each app in a
// process of its own, over loopback. It also plays apps that no SDK would be:
// raw protocol calls, nonsense answers, cut connections and servers killed at
// random moments.
//
// The tests need Node 20, Python 3.11, nginx, Chromium and a package registry, so
// they run only when PAWL_E2E=1 (or CI=true) is set:
//
//	PAWL_E2E=1 go test ./e2e
//
// PAWL_KILL_RUNS, PAWL_KILL_KILLS and PAWL_KILL_SEED size and repeat TestKill and
// TestKillMix, and the latter two TestKillFlow, whose load lasts as long as the
// kills; PAWL_ENDPOINT_STEPS and PAWL_ENDPOINT_KILLS do the same for those of
// durable endpoints; PAWL_E2E_BIN names a pawl binary to test instead of building one;
// PAWL_E2E_SLOW=1 adds the tests that wait for the default retry table.
//
// "Row 42" in a test's name is row 42 of the semantics checklist, "F-05" a row
// of the acceptance list.
package e2e
