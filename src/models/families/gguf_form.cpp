#include "models/families/gguf_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"
#include "models/families/family.h"
#include "store/hf_family.h"

namespace pippin::models {
namespace {

Error not_converted(const store::HfFolder& folder) {
  std::string known;
  for (const store::HfFamily* family : store::hf_families())
    if (family->to_gguf) known += (known.empty() ? "" : ", ") + std::string(family->model_type);
  return fail(Code::kUnsupported,
              fmt::format("{} is of model_type {}, whose folders are not converted to GGUF files; "
                          "this build converts {}. llama.cpp's convert_hf_to_gguf.py makes a GGUF "
                          "file of it, which this command then converts",
                          folder.path(), folder.family().model_type, known),
              "--to");
}

// What readers of GGUF files take where no key says it.
float unsaid_scale(const Family& family, store::ModelConfig config) {
  config.attention_scale = 0;
  if (family.complete != nullptr) family.complete(config);
  return config.attention_scale > 0 ? config.attention_scale
                                    : 1 / std::sqrt(static_cast<float>(config.head_dim_k));
}

}  // namespace

Result<store::GgufForm> gguf_form(const store::HfFolder& folder) {
  if (!folder.family().to_gguf) return not_converted(folder);
  const auto place =
      std::ranges::find(families(), folder.config().architecture, &Family::architecture);
  CHECK(place != families().end(), "a folder's architecture is a family's");
  const Family& family = **place;
  const DecoderOptions& options = family.options;
  store::GgufForm form;
  form.interleaved = options.rope_interleaved;
  form.norm_offset = options.norm_offset;
  form.attention_scale = unsaid_scale(family, folder.config());
  form.scale_key = options.scales;
  form.has_windows = options.window_period > 0;
  form.rope_skip_period = options.rope_skip_period;
  form.normalises = options.experts && options.experts->normalise;
  return form;
}

}  // namespace pippin::models
