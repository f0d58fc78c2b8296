// plan_gguf: a GGUF file in another weight format, laid out: metadata, tensor table, and where each
// tensor's bytes go. Plain functions; thread: any.
// Source: the GGUF specification; which tensors of the mixes take more bits, llama.cpp's
// llama_tensor_get_type().
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/conversion.h"
#include "store/gguf.h"
#include "store/gguf_head.h"

namespace pippin::store {

/// A weight format of GGUF files.
struct GgufFormat {
  std::string_view name;   // "q4_k_m"
  std::string_view label;  // as files are named: "Q4_K_M"
  TensorType type;         // of most weights
  bool is_mix = false;     // some take more bits
  uint32_t file_type = 0;  // general.file_type
};

std::span<const GgufFormat> gguf_formats();

/// Adds what a file says of its weights' format.
void add_format(GgufMetadata& metadata, const GgufFormat& format);

/// Plans the file; parts of the plan borrow from `file`. Norms, biases, routers, convolutions and
/// whatever else is not a matrix of weights keep their type, and a tensor that has its type already
/// is copied. Rows that are not whole blocks of 256 become Q5_0 instead of Q4_K, and Q8_0 instead
/// of Q5_K and Q6_K; those that are not whole blocks of 32, F16. Metadata is copied as it is, but
/// for general.file_type, general.quantization_version, general.alignment and those of split files.
/// Errors: kUnsupported, naming a tensor that cannot be read by rows.
Result<Conversion> plan_gguf(const GgufFile& file, const GgufFormat& format);

}  // namespace pippin::store
