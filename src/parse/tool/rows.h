// The rows of all tool dialects. Those that one function reads stand in one file. Thread: any.
#pragma once

#include "parse/call.h"
#include "parse/dialect.h"

namespace pippin::parse {

extern const ToolDialect kApertus, kCommandR, kDeepseekV3, kDeepseekV31, kDeepseekV32,
    kFunctionary2, kFunctionary31, kFunctionary32, kFunctionGemma, kGemma4, kGeneric, kGigachat,
    kGlm45, kGlm47, kGranite, kHarmony, kHermes, kHunyuan, kInternlm, kJamba, kKimiK2, kKimiK3,
    kLfm2, kLlama3, kLlama4, kMinimaxM1, kMinicpm5, kMinimaxM2, kMinimaxM3, kMistral, kMistralArgs,
    kMuse, kNemotron, kNemotron3, kOlmo3, kPhi4, kQwen3Coder, kSeedOss, kSolarOpen, kStep3p5, kXlam;

/// The envelope of {"name": .., "arguments": ..}.
constexpr std::string_view kJsonPrefix = "{\"name\": \"";
constexpr std::string_view kJsonInfix = "\", \"arguments\": ";
constexpr std::string_view kJsonSuffix = "}";

/// The envelope of several of them between two texts.
constexpr Envelope json_list(std::string_view begin, std::string_view end,
                             std::string_view separator = ", ") {
  return {.section_begin = begin,
          .prefix = kJsonPrefix,
          .infix = kJsonInfix,
          .suffix = kJsonSuffix,
          .separator = separator,
          .section_end = end};
}

}  // namespace pippin::parse
