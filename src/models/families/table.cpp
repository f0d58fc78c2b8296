// The table of families: a row each.
#include <vector>

#include "models/families/family.h"

#define PIPPIN_FAMILIES(ROW) \
  ROW(kLlama)                \
  ROW(kLlama4)               \
  ROW(kMinistral3)           \
  ROW(kQwen2)                \
  ROW(kQwen2Vl)              \
  ROW(kQwen3)                \
  ROW(kQwen3Vl)              \
  ROW(kGemma)                \
  ROW(kGemma2)               \
  ROW(kGemma3)               \
  ROW(kGemma3n)              \
  ROW(kGemma4)               \
  ROW(kGranite)              \
  ROW(kMiniCpm)              \
  ROW(kOlmo)                 \
  ROW(kOlmo2)                \
  ROW(kPhi2)                 \
  ROW(kPhi3)                 \
  ROW(kSmolLm3)              \
  ROW(kCohere)               \
  ROW(kCohere2)              \
  ROW(kChatGlm)              \
  ROW(kGlm4)                 \
  ROW(kExaone4)              \
  ROW(kExaoneMoe)            \
  ROW(kSeedOss)              \
  ROW(kStarcoder2)           \
  ROW(kStableLm)             \
  ROW(kDeepSeek)             \
  ROW(kDeepSeek32)           \
  ROW(kMistral4)             \
  ROW(kGlm5)                 \
  ROW(kGpt2)                 \
  ROW(kGptNeoX)              \
  ROW(kFalcon)               \
  ROW(kHunyuan)              \
  ROW(kErnie45)              \
  ROW(kArcee)                \
  ROW(kApertus)              \
  ROW(kNemotron)             \
  ROW(kQwen2Moe)             \
  ROW(kQwen3Moe)             \
  ROW(kQwen3VlMoe)           \
  ROW(kOlmoe)                \
  ROW(kGraniteMoe)           \
  ROW(kGraniteSwa)           \
  ROW(kPhiMoe)               \
  ROW(kGlm4Moe)              \
  ROW(kGptOss)               \
  ROW(kErnie45Moe)           \
  ROW(kHunyuanMoe)           \
  ROW(kMiniMaxM2)            \
  ROW(kDots1)                \
  ROW(kCohere2Moe)           \
  ROW(kBailingMoe)           \
  ROW(kBailingMoe2)          \
  ROW(kLfm2)                 \
  ROW(kLfm2Moe)              \
  ROW(kQwen3Next)            \
  ROW(kQwen35)               \
  ROW(kQwen35Moe)            \
  ROW(kMamba2)               \
  ROW(kGraniteHybrid)        \
  ROW(kNemotronH)            \
  ROW(kNemotronHMoe)         \
  ROW(kFalconH1)             \
  ROW(kMamba)                \
  ROW(kJamba)

namespace pippin {
namespace models {

#define PIPPIN_DECLARE(family) extern const Family family;
#define PIPPIN_POINT_AT(family) &family,
PIPPIN_FAMILIES(PIPPIN_DECLARE)

std::span<const Family* const> families() {
  static constexpr const Family* kFamilies[] = {PIPPIN_FAMILIES(PIPPIN_POINT_AT)};
  return kFamilies;
}

}  // namespace models

std::span<const store::HfFamily* const> store::hf_families() {
  static const std::vector<const HfFamily*> kAll = [] {
    std::vector<const HfFamily*> all;
    for (const models::Family* family : models::families())
      for (const HfFamily& one : family->hf) all.push_back(&one);
    return all;
  }();
  return kAll;
}

}  // namespace pippin
