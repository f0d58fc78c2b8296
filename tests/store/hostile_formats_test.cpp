// Files of the newer formats that were changed somewhere: each opens, and its weights can be read,
// or gives an error that names what is wrong.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "store/gguf.h"
#include "store/gguf_builder.h"
#include "store/hf_config.h"
#include "store/hf_tensors.h"
#include "store/safetensors.h"
#include "store/unpack.h"

namespace pippin::store {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const fs::path kFixtures = fs::path(PIPPIN_SOURCE_DIR) / "tests/models/fixtures";

// Reads every value, as a loader does.
void read_all(const std::vector<TensorView>& tensors) {
  for (const TensorView& tensor : tensors) {
    const TensorView plain = unpack(tensor);
    if (plain.transposed) continue;
    std::vector<float> values(static_cast<size_t>(plain.elements()));
    dequantize(plain, values);
  }
}

// --- Safetensors ---

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};
using Tensors = std::map<std::string, Tensor>;

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Tensors tensors_of(const fs::path& path) {
  const auto file = SafetensorsFile::open(path);
  EXPECT_TRUE(file.ok());
  Tensors tensors;
  for (const SafetensorsEntry& entry : file->entries())
    tensors[entry.name] = {
        std::string(entry.dtype), entry.shape,
        std::string(reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size())};
  return tensors;
}

std::string file_of(const Tensors& tensors) {
  json::object header;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", json::value_from(tensor.shape)},
                    {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string text = json::serialize(header);
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  uint32_t below(size_t count) { return static_cast<uint32_t>(random_() % count); }

  // Changes one tensor; returns the name that it had.
  std::string change(Tensors& tensors) {
    const auto place = std::next(tensors.begin(), below(tensors.size()));
    const std::string name = place->first;
    Tensor& tensor = place->second;
    switch (below(8)) {
      case 0:
        tensors.erase(place);
        break;
      case 1:
        tensors[name + "z"] = tensor;
        tensors.erase(name);
        break;
      case 2:
        tensor.dtype = dtype();
        break;
      case 3:  // another type of as many bytes
        tensor.dtype = tensor.dtype == "I32" ? "F32" : tensor.dtype == "BF16" ? "I16" : "U8";
        break;
      case 4:
        std::reverse(tensor.shape.begin(), tensor.shape.end());
        break;
      case 5:  // fewer rows, or more of them
        resize(tensor, below(2) == 0);
        break;
      case 6:
        tensor.shape = {static_cast<int64_t>(tensor.bytes.size())};
        break;
      default:  // data: indices of groups and shapes among them
        for (uint32_t i = 0; i < 4 && !tensor.bytes.empty(); ++i)
          tensor.bytes[below(tensor.bytes.size())] = static_cast<char>(random_());
    }
    return name;
  }

  // Changes one field; returns its name.
  std::string change(json::object& fields) {
    auto place = std::next(fields.begin(), below(fields.size()));
    const std::string name = place->key();
    const json::value values[] = {
        nullptr, 0, -1, 1, 48, 1 << 30, "x", 2.5, json::array{1, 2, 3}, json::object{}, true};
    place->value() = values[below(std::size(values))];
    return name;
  }

 private:
  std::string dtype() {
    const char* dtypes[] = {"F32", "F16", "BF16", "U32", "I32", "I64", "I8", "U8", "F8_E4M3"};
    return dtypes[below(std::size(dtypes))];
  }
  void resize(Tensor& tensor, bool fewer) {
    if (tensor.shape.empty() || tensor.shape[0] < 2) return;
    const size_t row = tensor.bytes.size() / static_cast<size_t>(tensor.shape[0]);
    tensor.shape[0] += fewer ? -1 : 1;
    tensor.bytes.resize(row * static_cast<size_t>(tensor.shape[0]), '\7');
  }

  std::mt19937 random_;
};

// "model.layers.0.mlp.up_proj" of "model.layers.0.mlp.up_proj.scales".
std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.')); }

// Reads a folder's files from memory.
Result<std::vector<TensorView>> read(const std::string& config_text, const std::string& weights,
                                     std::vector<SafetensorsFile>& files) {
  ASSIGN_OR_RETURN(HfConfig config, read_hf_config(config_text, "config.json"));
  ASSIGN_OR_RETURN(SafetensorsFile file,
                   SafetensorsFile::parse(std::as_bytes(std::span(weights)), "model.safetensors"));
  files.push_back(std::move(file));
  return hf_tensors(files, config, "m");
}

std::vector<fs::path> quantised_folders() {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(kFixtures / "quantised"))
    folders.push_back(entry.path());
  for (const char* name : {"llama_untied_nvfp4", "llama_untied_mxfp8"})
    folders.push_back(kFixtures / "mlx" / name);
  std::sort(folders.begin(), folders.end());
  return folders;
}

TEST(HostileFormats, ChangedTensorsAreNamed) {
  size_t refused = 0, changed = 0;
  for (const fs::path& folder : quantised_folders()) {
    const std::string config = text_of(folder / "config.json");
    const Tensors whole = tensors_of(folder / "model.safetensors");
    for (uint32_t seed = 0; seed < 50; ++seed, ++changed) {
      Mutator mutator(seed);
      Tensors tensors = whole;
      const std::string name = mutator.change(tensors);
      SCOPED_TRACE(folder.filename().string() + " seed " + std::to_string(seed) + " " + name);
      const std::string weights = file_of(tensors);
      std::vector<SafetensorsFile> files;
      const auto read_tensors = read(config, weights, files);
      if (read_tensors.ok()) {
        read_all(*read_tensors);
        continue;
      }
      ++refused;
      EXPECT_NE(read_tensors.error().message.find(module_of(name)), std::string::npos)
          << read_tensors.error().message;
    }
  }
  EXPECT_GE(changed, 600u);
  EXPECT_GT(refused, changed / 3);
}

TEST(HostileFormats, ChangedSettingsAreNamed) {
  size_t refused = 0, changed = 0;
  for (const fs::path& folder : quantised_folders()) {
    const json::object whole = json::parse(text_of(folder / "config.json")).get_object();
    const std::string weights = text_of(folder / "model.safetensors");
    for (uint32_t seed = 0; seed < 20; ++seed, ++changed) {
      Mutator mutator(seed);
      json::object config = whole;
      if (config.contains("quantization")) config.erase("quantization_config");
      json::object& settings =
          config[config.contains("quantization") ? "quantization" : "quantization_config"]
              .get_object();
      const std::string name = mutator.change(settings);
      SCOPED_TRACE(folder.filename().string() + " seed " + std::to_string(seed) + " " + name);
      std::vector<SafetensorsFile> files;
      const auto read_tensors = read(json::serialize(config), weights, files);
      if (read_tensors.ok()) {
        read_all(*read_tensors);
        continue;
      }
      ++refused;
      // Settings that could be meant do not fit a tensor, which is named.
      EXPECT_FALSE(read_tensors.error().param.empty()) << read_tensors.error().message;
      EXPECT_NE(read_tensors.error().message.find(read_tensors.error().param), std::string::npos)
          << read_tensors.error().message;
    }
  }
  EXPECT_GE(changed, 200u);
  EXPECT_GT(refused, changed / 4);
}

// --- GGUF ---

TEST(HostileFormats, ChangedGgufTensorsAreNamed) {
  constexpr int kFirst = static_cast<int>(TensorType::kNVFP4);
  constexpr int kLast = static_cast<int>(TensorType::kQ2_0);
  size_t refused = 0;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    GgufBuilder file;
    const int changed = kFirst + static_cast<int>(random() % (kLast - kFirst + 1));
    const std::string name = "w" + std::to_string(changed);
    for (int type = kFirst; type <= kLast; ++type) {
      std::vector<std::byte> bytes(
          static_cast<size_t>(512 / block_elements(static_cast<TensorType>(type)) *
                              block_bytes(static_cast<TensorType>(type))));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      // Two rows become more, shorter, or of a length that no block has.
      const int64_t rows = type == changed ? 1 + static_cast<int64_t>(random() % 4) : 2;
      const int64_t columns =
          type == changed ? 32 * (1 + static_cast<int64_t>(random() % 16)) : 256;
      file.tensor("w" + std::to_string(type), static_cast<TensorType>(type), {rows, columns},
                  bytes);
    }
    const auto bytes = file.bytes();
    const auto opened = GgufFile::parse(bytes, "x.gguf");
    SCOPED_TRACE("seed " + std::to_string(seed));
    if (opened.ok()) {
      read_all(opened->tensors());
      continue;
    }
    ++refused;
    EXPECT_NE(opened.error().message.find("'" + name + "'"), std::string::npos)
        << opened.error().message;
  }
  EXPECT_GT(refused, 50u);
}

}  // namespace
}  // namespace pippin::store
