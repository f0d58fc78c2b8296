// The text models of Qwen 2 VL and Qwen 2.5 VL: Qwen 2, whose rope has positions of images, too.
#include "models/families/family.h"

namespace pippin::models {
namespace {

// Their first files have no text_config.
constexpr std::string_view kIgnored[] = {"visual."};

constexpr store::HfFamily family(std::string_view model_type, std::string_view part_of) {
  return {.model_type = model_type,
          .architecture = "qwen2vl",
          .part_of = part_of,
          .qkv_bias = true,
          .eps = 1e-5,
          .rope_base = 1e6,
          .window_rule = store::WindowRule::kFlag,
          .ignored = kIgnored};
}
constexpr store::HfFamily kHf[] = {family("qwen2_vl_text", "qwen2_vl"), family("qwen2_vl", {}),
                                   family("qwen2_5_vl_text", "qwen2_5_vl"),
                                   family("qwen2_5_vl", {})};

}  // namespace

extern const Family kQwen2Vl;
constexpr Family kQwen2Vl = {"qwen2vl", "Qwen 2 VL and 2.5 VL, text", {}, kHf};

}  // namespace pippin::models
