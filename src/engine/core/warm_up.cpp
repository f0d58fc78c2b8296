#include "engine/core/warm_up.h"

#include <algorithm>
#include <vector>

#include "engine/core/direct_run.h"

namespace pippin::engine {
namespace {

// Answers together, and the tokens of each one's prompt. Devices pad both to a few sizes.
struct Group {
  int rows, prompt_tokens;
};
constexpr Group kGroups[] = {{1, 600}, {1, 20},  {2, 40},  {4, 40},
                             {8, 40},  {16, 40}, {32, 20}, {64, 20}};
constexpr int kAnswerTokens = 3;

}  // namespace

Result<void> warm_up(Runner& runner, const SchedulerOptions& options) {
  SchedulerOptions cold = options;
  cold.prefix_cache = false;  // the prompts are alike
  const int64_t room = cold.positions_max();
  uint64_t ids = 0;
  for (const float temperature : {0.0f, 1.0f}) {
    for (const Group& group : kGroups) {
      Submission submission;
      if (group.prompt_tokens + kAnswerTokens > room) continue;
      submission.tokens.assign(static_cast<size_t>(group.prompt_tokens), 0);
      submission.sampling.temperature = temperature;
      submission.stop.max_tokens = kAnswerTokens;
      DirectRun run(runner, cold, ids);
      const auto rows = static_cast<size_t>(std::min(group.rows, cold.rows_max));
      RETURN_IF_ERROR(run.run(std::vector<Submission>(rows, submission), 0));
    }
  }
  return {};
}

}  // namespace pippin::engine
