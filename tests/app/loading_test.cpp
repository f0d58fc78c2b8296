// What settings say of the runner.
#include "app/loading.h"

#include <gtest/gtest.h>

namespace pippin::app {
namespace {

TEST(RunnerOptions, FollowTheSettings) {
  Settings settings;
  settings.device = "cpu";
  settings.threads = 3;
  const Result<engine::RunnerOptions> usual = runner_options(settings);
  ASSERT_TRUE(usual.ok());
  EXPECT_EQ(engine::DeviceKind::kCpu, usual->device);
  EXPECT_EQ(3, usual->threads);
  EXPECT_FALSE(usual->exact_activations);
  EXPECT_EQ(engine::KvType::kF16, usual->kv_type);

  settings.cpu_activations = "f32";
  settings.kv_type = "int8";
  const Result<engine::RunnerOptions> exact = runner_options(settings);
  ASSERT_TRUE(exact.ok());
  EXPECT_TRUE(exact->exact_activations);
  EXPECT_EQ(engine::KvType::kInt8, exact->kv_type);
}

}  // namespace
}  // namespace pippin::app
