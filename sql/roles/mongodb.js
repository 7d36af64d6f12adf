// The user of the migration on the source: the role `read` on one database, and nothing else.
// Run by a user administrator; the name of the database is that of the application's own:
//
//   SOURCE_DATABASE=nextcrm MIGRATION_USER=nextcrm_migration \
//     mongosh "mongodb://admin@host:27017/admin" --file sql/roles/mongodb.js
//
// The password is asked for and stands in no file. Running it again sets the roles right, without asking.
// Then: SOURCE_MONGODB_URL=mongodb://nextcrm_migration:password@host:27017/nextcrm?authSource=nextcrm

const ROLES = ["read"];

const database = process.env.SOURCE_DATABASE;
const user = process.env.MIGRATION_USER;
if (!database || !user) {
  throw new Error("Set SOURCE_DATABASE and MIGRATION_USER");
}

const home = db.getSiblingDB(database);
const roles = ROLES.map((role) => ({ role, db: database }));
if (home.getUser(user) === null) {
  home.createUser({ user, pwd: passwordPrompt(), roles });
} else {
  home.updateUser(user, { roles });
}
print(`${user} may read ${database}, and nothing else`);
