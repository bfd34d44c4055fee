// main() of a fuzzer without libFuzzer: runs each input once. Arguments are files and directories of files.
#include <cstdio>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool run(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file) {
        std::fprintf(stderr, "can't read %s\n", path.string().c_str());
        return false;
    }
    std::vector<uint8_t> bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    return true;
}

int main(int count, char **arguments) {
    size_t inputs = 0;
    bool good = true;
    for (int i = 1; i < count; i++) {
        if (!std::filesystem::is_directory(arguments[i])) {
            good = run(arguments[i]) && good;
            inputs++;
            continue;
        }
        for (const auto &entry : std::filesystem::directory_iterator(arguments[i])) {
            std::printf("%s\n", entry.path().filename().string().c_str()); // the last one is the one that ends the program
            std::fflush(stdout);
            good = run(entry.path()) && good;
            inputs++;
        }
    }
    std::printf("%zu inputs\n", inputs);
    return good && inputs ? 0 : 1;
}
