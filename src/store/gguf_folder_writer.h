// plan_gguf_of_folder: a GGUF file of a model's folder, laid out: its keys, its tensors as GGUF
// files of the family hold them, and where their bytes go. Plain functions; thread: any.
// Source: llama.cpp's convert_hf_to_gguf.py, and the keys that its src/llama-arch.cpp names.
#pragma once

#include <optional>

#include "base/result.h"
#include "store/conversion.h"
#include "store/gguf_head.h"
#include "store/gguf_writer.h"
#include "store/hf_folder.h"

namespace pippin::store {

/// What GGUF files of a family hold otherwise than its folders, and what their readers know without
/// being told. models/families/gguf_form.h makes one of a family's options.
struct GgufForm {
  bool interleaved = false;   // rows of q and k are in the order of interleaved pairs
  float norm_offset = 0;      // added to the weights of norms
  float attention_scale = 0;  // of the scores, where no key says it
  bool scale_key = false;     // a key says it
  bool has_windows = false;   // other programs know layers with a window in this family
  int rope_skip_period = 0;   // > 0: every n-th layer has no rope
  bool normalises = false;    // experts' weights are divided by their sum
};

/// Plans the file; parts of the plan borrow from `folder`. `tokenizer` has the keys of the
/// tokenizer, which come last. Experts that lie apart are put together, and a projection of gate
/// and up of all experts becomes two. Weights become the format's types as plan_gguf() has them;
/// norms, biases and routers become F32.
/// Errors: kUnsupported, naming what of the configuration or which tensor such a file cannot hold.
Result<Conversion> plan_gguf_of_folder(const HfFolder& folder, const GgufForm& form,
                                       const GgufMetadata& tokenizer, const GgufFormat& format);

/// Adds what a GGUF file says of a model's sizes and how it computes. Errors: kUnsupported, naming
/// what no key says.
Result<void> add_config(const ModelConfig& config, const GgufForm& form, GgufMetadata& metadata);

}  // namespace pippin::store
