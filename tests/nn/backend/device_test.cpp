#include "nn/backend/device.h"

#include <gtest/gtest.h>

#include "store/tensor.h"

namespace pippin::nn {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr DeviceKind kDevices[] = {DeviceKind::kCpu, DeviceKind::kCuda};

store::TensorView weight(TensorType type, int64_t rows, int64_t columns,
                         std::vector<std::byte>& bytes) {
  store::TensorView tensor;
  tensor.type = type;
  tensor.shape = {rows, columns};
  bytes.resize(static_cast<size_t>(rows * columns / block_elements(type) * block_bytes(type)));
  tensor.bytes = bytes;
  return tensor;
}

TEST(Devices, AreFoundByTheirNames) {
  EXPECT_STREQ(device_traits(device_named("cpu").value()).name, "cpu");
  if (has_gpu()) {
    EXPECT_STREQ(device_traits(device_named("auto").value()).name, "cuda");
    return;
  }
  EXPECT_STREQ(device_traits(device_named("auto").value()).name, "cpu");
  EXPECT_EQ(device_named("cuda").error().param, "--device");
}

TEST(Devices, KeepKvAsTheySay) {
  EXPECT_EQ(kept_kv_type(device_traits(DeviceKind::kCpu), KvType::kInt8), "int8");
  EXPECT_EQ(kept_kv_type(device_traits(DeviceKind::kCpu), KvType::kF16), "f16");
  EXPECT_EQ(kept_kv_type(device_traits(DeviceKind::kCuda), KvType::kF16), "bf16");
}

TEST(Devices, KeepLargeModelsQuantised) {
  const DeviceTraits& cuda = device_traits(DeviceKind::kCuda);
  EXPECT_EQ(weight_form(cuda, 16 * kGiB, 80 * kGiB), WeightForm::kDense);
  EXPECT_EQ(weight_form(cuda, 16 * kGiB, 24 * kGiB), WeightForm::kQuantised);
  for (const DeviceKind device : kDevices)  // the driver does not say
    EXPECT_EQ(weight_form(device_traits(device), 16 * kGiB, 0), WeightForm::kDense);
  EXPECT_EQ(weight_form(device_traits(DeviceKind::kCpu), 16 * kGiB, 8 * kGiB), WeightForm::kDense);
}

TEST(Devices, TellWhatAWeightTakes) {
  std::vector<std::byte> bytes;
  const store::TensorView q4 = weight(TensorType::kQ4_K, 4, 512, bytes);
  const DeviceTraits &cpu = device_traits(DeviceKind::kCpu),
                     &cuda = device_traits(DeviceKind::kCuda);
  EXPECT_EQ(kept_bytes(cpu, WeightForm::kDense, q4), 4 * 2 * 144);
  EXPECT_EQ(kept_bytes(cuda, WeightForm::kDense, q4), 4 * 512 * 2);
  EXPECT_EQ(kept_bytes(cuda, WeightForm::kQuantised, q4), 4 * 512 * 5 / 8);
  std::vector<std::byte> floats;
  const store::TensorView f32 = weight(TensorType::kF32, 4, 512, floats);
  EXPECT_EQ(kept_bytes(cuda, WeightForm::kQuantised, f32), 4 * 512 * 2);
}

}  // namespace
}  // namespace pippin::nn
