// pull: fetches a model by name into the Hugging Face cache or Ollama's store. A pull that ends in
// any way, kill included, leaves a whole file under its final name or none; what was fetched is
// kept beside it and the next pull goes on from there. Thread: any; two pulls of the same file wait
// for each other, across processes too (file locks, those of huggingface_hub in its cache).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "hub/cancel.h"
#include "hub/catalogue.h"
#include "hub/name.h"
#include "hub/paths.h"
#include "store/model_config.h"

namespace pippin::hub {

enum class PullStage : uint8_t {
  kLookup,    // asking what the model consists of
  kCheck,     // reading the head of the GGUF file, to see whether it can be served
  kDownload,  // `done` of `total` bytes of `item`
  kVerify,    // computing the hash of what was there before
  kWait,      // `note` says for what: a lock, a busy server
  kFinish,    // putting the parts in place
};

/// Where a pull stands. Units: bytes.
struct PullProgress {
  PullStage stage = PullStage::kLookup;
  std::string item;    // the file's path in its repository, or a layer's "sha256:..."
  uint64_t done = 0;   // of this item
  uint64_t total = 0;  // of this item; 0: not known
  uint64_t all_done = 0, all_total = 0;  // of all items of this pull
  std::string note;                      // kWait: "the hub asks to wait 30 s"
};

struct PullOptions {
  /// Called from one thread at a time, a few times a second; must not block for long.
  std::function<void(const PullProgress&)> progress;
  /// Borrowed; null: cannot be cancelled.
  const Cancel* cancel = nullptr;
  /// Looks at what the head of a GGUF file or a config.json says of the model before its weights
  /// are fetched; an error refuses the pull. Empty: anything is fetched.
  std::function<Result<void>(const store::ModelConfig& config)> check;
  int connections = 4;  // ranges that are fetched at the same time
  /// Time without a byte after which a connection is given up and tried anew.
  std::chrono::milliseconds stall = std::chrono::seconds(30);
  int attempts_max = 6;  // in a row without a byte of progress
  /// A server that asks for a longer pause than this ends the pull.
  std::chrono::seconds pause_max = std::chrono::minutes(5);
};

/// Fetches what is not here yet and returns the model. Errors: kNotFound (no such repository,
/// revision, file, model); kUnauthenticated and kPermissionDenied, saying what to do; kUnsupported
/// of `check`, and for a repository without a model that is known; kOverloaded (429 for too long);
/// kUnavailable (network, full disk, with how much is needed and free); kInvalidFile (the bytes are
/// not what the hub names); kCancelled.
Result<LocalModel> pull(const ModelName& name, const Paths& paths, const PullOptions& options);

}  // namespace pippin::hub
