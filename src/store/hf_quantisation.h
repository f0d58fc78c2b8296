// What a config.json says of how its weights are quantised. Plain data; thread: any.
// Source: "quantization" as mlx-lm writes it; transformers' quantization_config of GPTQ, AWQ,
// compressed-tensors and FP8.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/tensor_type.h"
#include "store/hf_fields.h"
#include "store/unpack.h"

namespace pippin::store {

/// How MLX quantised a module.
struct MlxSettings {
  TensorType type = TensorType::kAffine4;  // kAffine*, kMXFP4, kNVFP4, or kQ8_0 for mxfp8
  int group = 0;
  int bits = 4;  // of a code in the file
  /// Of nvfp4 and mxfp8, which are unpacked.
  std::optional<Packing> packing = {};
};

/// Returns MLX's word: "mxfp4".
std::string_view mode_name(const MlxSettings& settings);

/// What other tools write; the tensors tell the rest.
enum class QuantMethod : uint8_t { kGptq, kAwq, kCompressedTensors, kFp8 };
struct OtherSettings {
  QuantMethod method = QuantMethod::kGptq;
  int bits = 4;                               // of GPTQ and AWQ
  int64_t group = 0;                          // of GPTQ and AWQ; 0: a whole row
  bool zeros_less_one = false;                // of GPTQ's first form
  int block_rows = 128, block_columns = 128;  // of FP8 that is scaled by blocks
};

struct HfQuantisation {
  /// Nothing: MLX quantised none. The modules that differ, by path; no value: they are floats.
  std::optional<MlxSettings> mlx;
  std::map<std::string, std::optional<MlxSettings>, std::less<>> exceptions;
  bool mxfp4_blocks = false;  // weights may be MXFP4 as transformers keeps it: *_blocks, *_scales
  std::optional<OtherSettings> other;
};

/// Errors: kInvalidFile, kUnsupported, naming the field.
Result<HfQuantisation> read_hf_quantisation(const HfFields& root);

}  // namespace pippin::store
