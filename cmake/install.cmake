# cmake --install: library, headers, command, pkg-config file and CMake package.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Hornito)

install(TARGETS hornito EXPORT HornitoTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hornito DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET hornito-cli)
  install(TARGETS hornito-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# A static library says what must be linked beside it; a shared one knows that itself.
set(HORNITO_SHARED OFF)
set(HORNITO_PC_PRIVATE "")
set(HORNITO_PC_LIBS "-lm -ldl -pthread")
if(BUILD_SHARED_LIBS)
  set(HORNITO_SHARED ON)
  set(HORNITO_PC_PRIVATE .private)
  set(HORNITO_PC_LIBS "")
endif()
list(JOIN HORNITO_MODULES ", " requires)
string(REPLACE ">=" " >= " HORNITO_REQUIRES "${requires}")
# Where the prefix is, seen from the file: an installation may be moved.
file(RELATIVE_PATH HORNITO_PC_UP /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(cmake/hornito.pc.in hornito.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/hornito.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT HornitoTargets NAMESPACE Hornito:: DESTINATION ${package_dir})
configure_package_config_file(cmake/HornitoConfig.cmake.in HornitoConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(HornitoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/HornitoConfig.cmake ${CMAKE_BINARY_DIR}/HornitoConfigVersion.cmake
  DESTINATION ${package_dir})
