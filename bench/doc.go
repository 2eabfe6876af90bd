// Bench starts a real pawl server and a trivial app, each in its own process,
// loads them over loopback and prints what was promised and what was measured.
//
//	bench ──events──▶ pawl ──calls──▶ app
//	  ▲                 ▲               │
//	  │                 └──checkpoints──┤
//	  └──────"done n" on its stdout─────┘
//
// It knows the server only by its flags and its HTTP surface, so that it measures
// what a user gets; only modes waits and flow fill a database by the store itself, and
// mode embedded has an engine in its own process. It
// never talks to anything but 127.0.0.1, and it ends every process that it
// started.
package main
