package wire

import "github.com/pawlhq/pawl/internal/proto"

// What servers and apps must do alike is in proto, which needs nothing but the
// standard library; here it goes by the same names.

type (
	// Key is a signing key; see proto.Key.
	Key = proto.Key
	// Keyring is what Pawl trusts; see proto.Keyring.
	Keyring = proto.Keyring
)

// See proto.
var (
	ErrUnauthorized = proto.ErrUnauthorized
	ErrSignature    = proto.ErrSignature
)

// SignatureWindow is how far the time in a signature may be from now.
const SignatureWindow = proto.SignatureWindow

// CompleteID is the id of an op that speaks of the function itself.
const CompleteID = proto.CompleteID

// ParseKey reads a signing key; see proto.ParseKey.
func ParseKey(raw string) (Key, error) { return proto.ParseKey(raw) }

// StepHash returns the id of the n-th use of name in one run; see
// proto.StepHash.
func StepHash(name string, n int) string { return proto.StepHash(name, n) }

// Header names, their values, and limits; see proto.
const (
	HeaderSignature     = proto.HeaderSignature
	HeaderServerKind    = proto.HeaderServerKind
	HeaderExpectedKind  = proto.HeaderExpectedKind
	HeaderRunID         = proto.HeaderRunID
	HeaderRequestID     = proto.HeaderRequestID
	HeaderGenerationID  = proto.HeaderGenerationID
	HeaderJobID         = proto.HeaderJobID
	HeaderVersion       = proto.HeaderVersion
	HeaderStepID        = proto.HeaderStepID
	HeaderForceStepPlan = proto.HeaderForceStepPlan
	HeaderSyncKind      = proto.HeaderSyncKind
	HeaderSDK           = proto.HeaderSDK
	HeaderSDKHandled    = proto.HeaderSDKHandled
	HeaderFramework     = proto.HeaderFramework
	HeaderPlatform      = proto.HeaderPlatform
	HeaderEnv           = proto.HeaderEnv
	HeaderNoRetry       = proto.HeaderNoRetry
	HeaderRetryAfter    = proto.HeaderRetryAfter
	HeaderEventIDSeed   = proto.HeaderEventIDSeed
	KindDev             = proto.KindDev
	KindCloud           = proto.KindCloud
	SyncInBand          = proto.SyncInBand
	SyncOutOfBand       = proto.SyncOutOfBand
	MaxAnswerBytes      = proto.MaxAnswerBytes
	MaxRequestBytes     = proto.MaxRequestBytes
	MaxStepBytes        = proto.MaxStepBytes
	MaxNesting          = proto.MaxNesting
	StepDiscovery       = proto.StepDiscovery
)
