// Conversion: a model written anew in another weight format: which tensors go where (the plan, made
// by plan_gguf() and plan_mlx_folder()), and the writer, which streams them in bounded memory.
// Thread: one; the writer starts threads of its own.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/quantise.h"
#include "store/tensor.h"

namespace pippin::store {

/// A tensor of the new model. Its bytes follow from the plan, so that files are laid out before
/// anything is computed.
struct ConvertedTensor {
  std::string name, from, to;     // the formats' names, for people
  std::vector<int64_t> shape;     // outermost first
  std::vector<TensorView> parts;  // their rows follow each other
  /// Row i comes from row order[i] of the only part; empty: they stay in order.
  std::vector<uint32_t> order;
  Encoding encoding;    // unless copied
  bool copied = false;  // bytes go over as they are
  EncodedBytes bytes;
  size_t file = 0;                  // index into Conversion::files
  std::array<uint64_t, 3> at = {};  // in that file: values, scales, biases
};

/// Plain files and the head of each file of weights are in memory; they are small.
struct ConvertedFile {
  std::string name;  // within the folder; unused of a single file
  std::string head;  // what comes before the tensors
  uint64_t bytes = 0;
};

struct Conversion {
  std::string format;  // "q4_k_m"
  bool is_folder = false;
  std::vector<ConvertedFile> files;  // of weights
  std::vector<ConvertedTensor> tensors;
  std::vector<std::pair<std::string, std::string>> texts;   // name and contents of other files
  std::vector<std::pair<std::string, std::string>> copies;  // name and source of other files
  std::vector<std::string> sources;   // files of the source, which the manifest tells by
  std::vector<std::string> notes;     // what a person should know
  std::shared_ptr<const void> holds;  // what `parts` borrow from, besides the caller's checkpoint

  uint64_t bytes() const;     // of all files of weights
  uint64_t elements() const;  // of all tensors
};

/// A note for people where quantised weights are quantised again.
inline constexpr const char* kLosesMore =
    "the source is quantised already: what it lost stays lost, and each step loses more";

/// Called with bytes done and all bytes, and the tensor's name. Returns whether to go on.
using ConversionProgress =
    std::function<bool(uint64_t done, uint64_t total, const std::string& name)>;

struct ConversionOptions {
  std::string out;      // must not exist
  std::string version;  // of the program, for the manifest
  int threads = 1;
  /// Bytes after which finished tensors are synced and noted, so that a later run goes on there.
  uint64_t note_every_bytes = uint64_t{64} << 20;
  ConversionProgress progress;
};

struct ConversionReport {
  std::string manifest;        // its path
  size_t resumed_tensors = 0;  // finished by an earlier run
  std::string anew;            // why an earlier run was not gone on with; empty: there was none
};

/// Writes the model to OUT.partial, then renames it. OUT.partial.json tells of finished tensors.
/// A manifest lies beside the result: OUT.manifest.json, or pippin-manifest.json in a folder.
/// Errors: kInvalidArgument naming --out, where it exists or another run writes it; kTooLarge, the
/// disk's space is not enough; kInvalidFile, a tensor with values that are not finite or do not
/// fit the format; kCancelled; of the file system. What was written stays, to go on with.
Result<ConversionReport> write_conversion(const Conversion& conversion,
                                          const ConversionOptions& options);

/// Returns the manifest's hash of the sources' names, sizes and times. Errors: kNotFound.
Result<std::string> sources_hash(const std::vector<std::string>& sources);

}  // namespace pippin::store
