//! The binary from outside: started as its users start it, between their SDKs and providers as strict as the real ones.
//!
//! Every run ends by searching what the process printed, stored and answered for the planted keys and tokens.

mod fakes;
mod harness;

mod callers;
mod commands;
mod credentials;
mod first_run;
mod lifecycle;
mod lists;
mod native;
mod nodes;
mod realtime_direct;
mod realtime_ends;
mod realtime_passage;
mod realtime_refusals;
mod realtime_sdk;
mod realtime_setups;
mod realtime_tokens;
mod realtime_verdicts;
mod record;
mod refusals;
mod reload;
mod sdk;
mod sign_in;
mod socket_conduct;
mod socket_fakes;
mod strict_fakes;
mod strict_others;
mod strictness;
mod tls;
mod unified_answers;
mod unified_choice;
mod unified_failures;
mod unified_providers;
mod unified_sdk;
mod unified_speech;
mod unified_transcripts;
mod unified_uploads;
mod verdicts;
mod wire;
