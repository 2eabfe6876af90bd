package proto

// Header names of the protocol. Source: spec/01 §3.
const (
	HeaderSignature     = "X-Inngest-Signature"
	HeaderServerKind    = "X-Inngest-Server-Kind"
	HeaderExpectedKind  = "X-Inngest-Expected-Server-Kind"
	HeaderRunID         = "X-Run-ID"
	HeaderRequestID     = "X-Request-ID"
	HeaderGenerationID  = "X-Inngest-Generation-ID"
	HeaderJobID         = "X-Inngest-Job-ID"
	HeaderVersion       = "X-Inngest-Req-Version"
	HeaderStepID        = "X-Inngest-Step-ID"
	HeaderForceStepPlan = "X-Inngest-Force-Step-Plan"
	HeaderSyncKind      = "X-Inngest-Sync-Kind"
	HeaderSDK           = "X-Inngest-SDK"
	HeaderSDKHandled    = "X-Inngest-SDK-Handled"
	HeaderFramework     = "X-Inngest-Framework"
	HeaderPlatform      = "X-Inngest-Platform"
	HeaderEnv           = "X-Inngest-Env"
	HeaderNoRetry       = "X-Inngest-No-Retry"
	HeaderRetryAfter    = "Retry-After"
	HeaderEventIDSeed   = "X-Inngest-Event-ID-Seed"

	// Pawl's own, when an endpoint is entered: which try it is, from 0, and how many
	// there are. Functions are told in the body of their call.
	HeaderAttempt     = "X-Pawl-Attempt"
	HeaderMaxAttempts = "X-Pawl-Max-Attempts"
)

// Values of HeaderServerKind and HeaderSyncKind. The sync kinds have an
// underscore; SDKs ignore the spelling with a hyphen.
const (
	KindDev   = "dev"
	KindCloud = "cloud"

	SyncInBand    = "in_band"
	SyncOutOfBand = "out_of_band"
)

// StepDiscovery is the stepId of a call that targets no step.
const StepDiscovery = "step"

// Limits that SDKs and the servers they were written for agree on.
const (
	MaxAnswerBytes  = 8 << 20 // one answer of an app
	MaxRequestBytes = 4 << 20 // one call body; above it the app fetches its state
	MaxStepBytes    = 4 << 20 // output of one step, and its input
	MaxNesting      = 1000    // levels of objects and arrays in any body
)
