// The rows of all reasoning dialects. Thread: any.
#pragma once

#include "parse/dialect.h"

namespace pippin::parse {

extern const ReasoningDialect kApertusInner, kCommandThinking, kGemmaChannel, kGraniteThoughts,
    kGraniteTags, kHarmonyChannels, kHunyuanThink, kKimiK3Think, kMinimaxThink, kMistralThink,
    kMuseMessages, kSeedThink, kSolarThink, kThink, kThinkGlm, kThinking;

}  // namespace pippin::parse
